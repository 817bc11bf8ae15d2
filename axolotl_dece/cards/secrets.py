"""Secrets in a config: axolotl copies the raw YAML into the model card, comments included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Each pattern is a credential's published shape; the group `secret`, where there is one, is the part to hide.
_SHAPES = {
    "a Hugging Face token": r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b",
    "an OpenAI-style key": r"\bsk-[A-Za-z0-9_-]{20,}",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?-----END [A-Z ]*PRIVATE KEY-----)?",
    "a password in a URL": r"(?i)(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://[^\s/:@\"']*:(?!\d+/)(?P<secret>[^\s\"'<>]+)@",
    "a token in a URL": r"(?i)(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://(?P<secret>[a-z0-9_-]{16,})@",
    "a signed URL": r"(?i)[?&](?:[\w-]*(?:signature|token)|sig|api_?key|access_?key)=(?P<secret>[^\s&\"']{8,})",
}
# A key whose name says so, with a literal value: neither empty, nor a switch, nor a reference to the environment.
_BY_NAME = {
    "the value of a secret key": r"(?im)^[ \t#-]*[\"']?[\w.-]*(?:api_?key|access_?key|secret|passw(?:or)?d|credentials?"
    r"|auth_?token|access_?token|(?:hf|hub|wandb|comet|mlflow|swanlab)_?token)[\w-]*[\"']?[ \t]*[:=][ \t]*"
    r"[\"']?(?P<secret>(?!\d+\b|true\b|false\b|null\b|none\b|yes\b|no\b|\$|<|\*)[^\s\"'#,{}\[\]]{6,})",
}
_PATTERNS = {kind: re.compile(shape) for kind, shape in (_SHAPES | _BY_NAME).items()}
HIDDEN = "<secret-removed>"


@dataclass(frozen=True)
class Secret:
    """Something that looks like a secret.

    Attributes:
        kind: What it looks like, for people.
        line: Where it begins, counted from 1.
        start: First character in the text.
        end: One past the last.
    """

    kind: str
    line: int
    start: int
    end: int

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}"


def find_secrets(text: str, *, by_name: bool = True) -> list[Secret]:
    """Everything in `text` that looks like a credential, in order; the values themselves are never repeated.

    Args:
        text: A config, or anything else.
        by_name: Whether the value of a key counts that is called a password or a token, whatever it looks like.
    """
    found = sorted(_matches(text, by_name), key=lambda secret: (secret.start, -secret.end))
    kept: list[Secret] = []
    for secret in found:
        if not kept or secret.start >= kept[-1].end:
            kept.append(secret)
    return kept


def _matches(text: str, by_name: bool) -> Iterator[Secret]:
    for kind, pattern in _PATTERNS.items():
        if kind in _BY_NAME and not by_name:
            continue
        for match in pattern.finditer(text):
            start, end = match.span("secret" if "secret" in pattern.groupindex else 0)
            if text[start:end] != HIDDEN:
                yield Secret(kind, text.count("\n", 0, start) + 1, start, end)


def hide_secrets(text: str) -> str:
    """`text` with everything that looks like a credential replaced."""
    for secret in reversed(find_secrets(text)):
        text = text[: secret.start] + HIDDEN + text[secret.end :]
    return text


def say_secrets(where: str, secrets: list[Secret]) -> str:
    """One sentence with every place, and the remedy."""
    places = "; ".join(str(secret) for secret in secrets)
    return (
        f"{where} holds what looks like a secret ({places}), and axolotl copies the config into the model card; "
        "remove it and set it in the environment instead (HF_TOKEN, WANDB_API_KEY, ...), and revoke it if it was pushed"
    )
