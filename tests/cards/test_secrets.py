"""What looks like a credential is found wherever it stands in a config; what only sounds like one is not."""

import pytest

from axolotl_dece.cards.secrets import HIDDEN, find_secrets, hide_secrets, say_secrets
from tests.cards.runs import HF_TOKEN

LONG = "q7" * 20
SECRETS = {
    "token": HF_TOKEN,
    "token in a comment": f"lr: 1  # was {HF_TOKEN}",
    "openai": "sk-" + LONG,
    "aws": "AKIA" + "Q7ZX" * 4,
    "github": "ghp_" + LONG,
    "gitlab": "glpat-" + LONG,
    "slack": "xoxb-" + LONG,
    "google": "AIza" + "q7z" * 11 + "qq",
    "jwt": f"eyJ{LONG}.eyJ{LONG}.{LONG}",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
    "password in a URL": "path: https://me:" + LONG + "@example.org/rows.jsonl",
    "password with signs in a URL": "path: HTTPS://me:a@b/" + LONG + "@example.org/rows.jsonl",
    "password without a name in a URL": "path: https://:" + LONG + "@example.org/rows.jsonl",
    "token in a URL": "path: https://" + LONG + "@example.org/rows.jsonl",
    "key in a URL": "path: https://example.org/rows.jsonl?api_key=" + LONG,
    "session in a URL": "path: https://example.org/rows.jsonl?X-Amz-Security-Token=" + LONG,
    "signed URL": "path: https://example.org/rows.jsonl?X-Amz-Signature=" + LONG,
    "by its shape and its key": "my_api_key: " + HF_TOKEN,
    "by its key": "wandb_api_key: " + LONG,
    "by its key, commented out": "#   my_secret: '" + LONG + "'",
    "by its key, in a block": "storage_options:\n  aws_secret_access_key: " + LONG,
}
HARMLESS = [
    "special_tokens:\n  eos_token: <|im_end|>\n  pad_token: <|endoftext|>",
    "tokens:\n  - <think>\nmax_tokens: 100000000",
    "hf_use_auth_token: true",
    "hub_token: $HF_TOKEN",
    "hub_token: <yours>",
    "wandb_api_key:",
    '{"secret": 151234, "my_password": 20260101}',
    '"secret_seed": 151234,',
    "wandb_project: my-secret-project",
    "base_model: Qwen/Qwen2.5-Coder-7B\nrevision: " + "0a1b2c3d" * 5,
    "path: https://example.org/rows.jsonl",
    "path: http://localhost:8080/rows@v1.jsonl",
    "lora_target_modules: [q_proj, k_proj]",
]


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_is_found_and_hidden_and_its_value_is_never_repeated(text: str) -> None:
    document = f"base_model: a/b\n{text}\nseed: 1\n"
    found = find_secrets(document)
    assert len(found) == 1
    hidden = hide_secrets(document)
    value = document[found[0].start : found[0].end]
    assert value not in hidden
    assert hidden.startswith("base_model: a/b\n")
    assert hidden.endswith("seed: 1\n")
    assert value not in say_secrets("config.yaml", found)
    assert hide_secrets(hidden) == hidden


@pytest.mark.parametrize("text", HARMLESS)
def test_what_a_config_needs_to_say_is_no_secret(text: str) -> None:
    assert find_secrets(text) == []


def test_every_secret_is_named_with_its_line_and_the_remedy() -> None:
    said = say_secrets("c.yaml", find_secrets(f"a: 1\nb: {HF_TOKEN}\nmy_password: {LONG}\n"))
    assert "line 2: a Hugging Face token" in said
    assert "line 3: the value of a secret key" in said
    assert "HF_TOKEN" in said
    assert HIDDEN not in said
