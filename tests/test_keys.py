"""Every key of the YAML: what is accepted, what is refused, and that the refusal says key, value and way out."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from axolotl_dece.conflicts import CONFLICTS
from axolotl_dece.key_problems import find_problems, say_problems
from axolotl_dece.keys import DeceKeys, alpha_schedule, find_warnings
from axolotl_dece.loss.names import LOSSES, say_loss
from axolotl_dece.schedule import AlphaSchedule


def problems(**raw: Any) -> str:
    return "\n".join(find_problems({"loss": "dece"} | raw))


def validated(**raw: Any) -> dict[str, Any]:
    assert problems(**raw) == ""
    return DeceKeys.model_validate({"loss": "dece"} | raw).model_dump()


def test_the_two_lines_are_enough() -> None:
    assert alpha_schedule(validated()) == AlphaSchedule("epoch", 0.95)


@pytest.mark.parametrize(
    ("raw", "schedule"),
    [
        ({"dece_alpha_schedule": "epoch"}, AlphaSchedule("epoch", 0.95)),
        ({"dece_alpha_schedule": "epoch", "dece_alpha_base": 0.985}, AlphaSchedule("epoch", 0.985)),
        ({"dece_alpha_schedule": "linear", "dece_alpha_final": 0.5}, AlphaSchedule("linear", 0.5)),
        ({"dece_alpha_schedule": "linear"}, AlphaSchedule("linear", 0.8)),
        ({"dece_alpha_schedule": "constant", "dece_alpha": 0.9}, AlphaSchedule("constant", 0.9)),
    ],
)
def test_each_schedule_reads_its_own_key(raw: dict[str, Any], schedule: AlphaSchedule) -> None:
    assert alpha_schedule(validated(**raw)) == schedule


@pytest.mark.parametrize(
    ("raw", "schedule"),
    [
        ({"dece_alpha_base": 0.99}, AlphaSchedule("epoch", 0.99)),
        ({"dece_alpha_final": 0.5}, AlphaSchedule("linear", 0.5)),
        ({"dece_alpha": 0.9}, AlphaSchedule("constant", 0.9)),
    ],
)
def test_a_value_alone_names_its_schedule(raw: dict[str, Any], schedule: AlphaSchedule) -> None:
    keys = validated(**raw)
    assert alpha_schedule(keys) == schedule
    assert keys["dece_alpha_schedule"] == schedule.name, "the manifest and the card say what was meant"


@pytest.mark.parametrize("key", ["dece_alpha_base", "dece_alpha_final", "dece_alpha"])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, 1.5, float("nan"), float("inf"), "0.9", True, [0.9]])
def test_a_plan_whose_alpha_is_out_of_range_or_never_leaves_one_is_refused(key: str, value: Any) -> None:
    schedule = {"dece_alpha_base": "epoch", "dece_alpha_final": "linear", "dece_alpha": "constant"}[key]
    assert f"`{key}: {value!r}` must be" in problems(dece_alpha_schedule=schedule, **{key: value})


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan"), "0.1", False])
def test_label_smoothing_out_of_range_is_refused(value: Any) -> None:
    assert f"`dece_label_smoothing: {value!r}` must be" in problems(dece_label_smoothing=value)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("dece_gce_q", [0.0, 1.1, -0.5, float("nan"), "0.5", True]),
        ("dece_in_trust_alpha", [0.0, -0.2, float("inf"), "0.2"]),
        ("dece_in_trust_beta", [-0.1, float("nan"), None]),
        ("dece_in_trust_delta", [-0.1, 1.0, float("inf")]),
        ("dece_threshold", [0.0, 1.0, float("nan"), "0.1"]),
    ],
)
def test_a_parameter_of_a_rival_out_of_range_is_refused(key: str, values: list[Any]) -> None:
    for value in values:
        assert f"`{key}: {value!r}` must be" in problems(loss="gce", **{key: value})


@pytest.mark.parametrize("loss", LOSSES)
def test_a_sweep_may_change_the_loss_alone(loss: str) -> None:
    keys = {"dece_alpha_final": 0.9, "dece_gce_q": 0.7, "dece_in_trust_beta": 1.0, "dece_label_smoothing": 0.1}
    assert problems(loss=loss, **keys) == ""


@pytest.mark.parametrize("loss", [name for name in LOSSES if name not in ("dece", "gce")])
def test_only_a_loss_that_holds_back_is_audited(loss: str) -> None:
    text = problems(loss=loss, dece_audit=True)
    assert f"`dece_audit: true` with `loss: {loss}`" in text.replace("True", "true")
    assert "write `dece` or `gce`" in text
    assert not problems(loss="dece", dece_audit=True) + problems(loss="gce", dece_audit=True)


def test_decisions_are_for_losses_that_can_trust_some_rows_and_for_cross_entropy() -> None:
    allowed = [loss for loss in LOSSES if not problems(loss=loss, dece_decisions="rows.jsonl")]
    assert allowed == ["ce", "dece", "gce"]
    assert "`dece_decisions: rows.jsonl` with `loss: in_trust`: it has no form that trusts" in problems(
        loss="in_trust", dece_decisions="rows.jsonl"
    )


RELEASE = {"loss": "dece", "dece_audit": True, "num_epochs": 3}


@pytest.mark.parametrize("loss", ["dece", "gce"])
@pytest.mark.parametrize("ends", [{}, {"num_epochs": 2.5}, {"num_epochs": 1, "max_steps": 500}])
def test_a_release_before_the_end_of_an_audited_run_is_allowed(loss: str, ends: dict[str, Any]) -> None:
    assert problems(**RELEASE | ends | {"loss": loss}, dece_release=2) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dece_release": 3}, "`dece_release: 3` is not before the end of `num_epochs: 3`"),
        ({"dece_release": 1, "num_epochs": 1.0}, "`dece_release: 1` is not before the end of `num_epochs: 1.0`"),
        ({"dece_release": 1, "num_epochs": "1"}, "`dece_release: 1` is not before the end of `num_epochs: 1`"),
        ({"dece_release": 1, "dece_audit": False}, "`dece_release: 1` decides by the ledger; write `dece_audit: true`"),
        ({"dece_release": 1, "loss": "ce", "dece_audit": False}, "`dece_release: 1` with `loss: ce`"),
        ({"dece_release": 0}, "`dece_release: 0` must be"),
        ({"dece_release": True}, "`dece_release: True` must be"),
        ({"dece_release": 1.5}, "`dece_release: 1.5` must be"),
    ],
)
def test_a_release_that_would_never_come_or_has_nothing_to_decide_by_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    assert said in problems(**RELEASE | changes)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_said_with_the_parameters_it_reads(loss: str) -> None:
    text = say_loss(validated(loss=loss, dece_gce_q=0.625))
    assert text.startswith(LOSSES[loss].title)
    assert ("`dece_gce_q: 0.625`" in text) == (loss == "gce")
    assert text.count("`") == 2 * len([key for key in LOSSES[loss].keys if key != "dece_alpha"])


def test_every_key_that_decides_about_a_loss_is_a_key() -> None:
    assert {key for loss in LOSSES.values() for key in loss.keys} <= set(DeceKeys.model_fields)


def test_a_number_that_yaml_read_as_text_is_explained() -> None:
    assert "write `1.0e-7`" in problems(dece_prob_floor="1e-7")


@pytest.mark.parametrize("spelling", ["DeCE", "DECE", "Dece", "cross_entropy", True, 1, ["dece"]])
def test_only_these_losses_are_known(spelling: Any) -> None:
    text = problems(loss=spelling)
    assert (
        f"`loss: {spelling!r}` must be 'ce', 'dece', 'label_smoothing', 'gce', 'in_trust', 'threshold' or 'eaft'"
        in text
    )
    assert ("write `loss: dece`" in text) == (str(spelling).lower() == "dece")


@pytest.mark.parametrize("key", ["use_dece", "use_dece_loss", "dece", "loss_type", "Use_Dece", "loss_fn"])
def test_what_users_of_other_frameworks_type_is_refused_with_the_right_spelling(key: str) -> None:
    assert f"unknown key `{key}: dece`; write `loss: dece`" in problems(**{key: "dece"})


def test_the_parameter_of_gce_is_found_under_its_own_name() -> None:
    assert "unknown key `gce_q: 0.7`; write `dece_gce_q`" in problems(loss="gce", gce_q=0.7)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("dece_gce", "dece_gce_q"),
        ("in_trust_beta", "dece_in_trust_beta"),
        ("dece_alpha_bas", "dece_alpha_base"),
        ("dece_label_smothing", "dece_label_smoothing"),
        ("dcee_alpha_final", "dece_alpha_final"),
        ("DECE_ALPHA", "dece_alpha"),
        ("los", "loss"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest_one(typo: str, meant: str) -> None:
    assert f"unknown key `{typo}`; did you mean `{meant}`?" in problems(**{typo: 0.9})


def test_an_unknown_dece_key_is_refused_with_the_list_of_keys() -> None:
    assert "`dece_temperature`" in problems(dece_temperature=2.0)


def test_a_key_of_axolotl_is_not_taken_for_a_misspelling() -> None:
    assert find_problems({"loss": "dece", "losss": 1}, {"losss": FieldInfo(annotation=int)}) == []


def test_the_plugin_without_a_loss_is_refused() -> None:
    assert "`loss` is not set" in "\n".join(find_problems({"plugins": ["axolotl_dece.DecePlugin"]}))


def test_a_key_that_the_schedule_does_not_read_is_refused() -> None:
    text = problems(dece_alpha_schedule="linear", dece_alpha_base=0.9)
    assert "`dece_alpha_base` is not used by `dece_alpha_schedule: linear`" in text
    assert "needs `dece_alpha`" in problems(dece_alpha_schedule="constant")


def test_two_values_of_two_schedules_are_refused() -> None:
    text = problems(dece_alpha_base=0.9, dece_alpha_final=0.8)
    assert "`dece_alpha_base: 0.9`, `dece_alpha_final: 0.8`: each belongs to another schedule" in text


@pytest.mark.parametrize("key", ["streaming", "pretraining_dataset"])
@pytest.mark.parametrize("epoch", [{}, {"dece_alpha_schedule": "epoch"}, {"dece_alpha_base": 0.9}])
def test_the_epoch_schedule_cannot_follow_a_stream(key: str, epoch: dict[str, Any]) -> None:
    text = problems(**epoch, **{key: True})
    assert "write `dece_alpha: 0.9`, or `dece_alpha_final: 0.8` with `max_steps`" in text
    assert problems(dece_alpha_final=0.8, **{key: True}) == problems(dece_alpha=0.9, **{key: True}) == ""
    assert problems(dece_alpha_schedule="linear", **{key: True}) == ""


ACTIVE = {"adapter": "mixlora", "context_parallel": {"size": 2}}
SIZES = ("size", "degree")


@pytest.mark.parametrize("conflict", CONFLICTS, ids=lambda c: c.key)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_conflict_is_refused_with_key_value_reason_and_remedy(conflict: Any, loss: str) -> None:
    value = ACTIVE.get(conflict.key, 2 if conflict.key.endswith(SIZES) else True)
    text = problems(loss=loss, **{conflict.key: value})
    assert f"`{conflict.key}: {value}` conflicts with `loss: {loss}`" in text
    assert conflict.why in text
    assert conflict.remedy in text


@pytest.mark.parametrize("conflict", CONFLICTS, ids=lambda c: c.key)
@pytest.mark.parametrize("value", [False, None, 0, "false", "off", "0", 1])
def test_a_conflicting_key_that_is_off_is_fine(conflict: Any, value: Any) -> None:
    if value == 1 and value is not False and not conflict.key.endswith(SIZES):
        value = {}
    assert problems(**{conflict.key: value}) == ""


@pytest.mark.parametrize("value", [2, 2.0, "2", "2.0", 4])
@pytest.mark.parametrize("key", ["context_parallel_size", "tensor_parallel_size", "expert_parallel_size"])
def test_a_size_is_judged_as_the_number_it_will_be(key: str, value: Any) -> None:
    assert f"`{key}: {value}` conflicts" in problems(**{key: value})


@pytest.mark.parametrize(
    ("plugin", "found"),
    [
        ("axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin", True),
        ("axolotl.integrations.cut_cross_entropy:CutCrossEntropyPlugin", True),
        ("cut_cross_entropy.CutCrossEntropyPlugin", True),
        ("diffusion.DiffusionPlugin", True),
        ("diffusion:DiffusionPlugin", True),
        ("diffusion.plugin.DiffusionPlugin", True),
        ("axolotl.integrations.diffusion_decision.plugin.DiffusionDecisionPlugin", True),
        ("axolotl.integrations.hatchery.HatcheryPlugin", True),
        ("axolotl.integrations.liger.LigerPlugin", False),
        ("axolotl.integrations.liger:LigerPlugin", False),
    ],
)
def test_a_plugin_that_is_on_by_being_listed_is_a_conflict_in_every_spelling(plugin: str, found: bool) -> None:
    assert (f"plugin `{plugin}` conflicts with `loss: dece`" in problems(plugins=[plugin])) == found


def test_a_plugin_that_a_key_switches_off_is_none() -> None:
    plugins = ["axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin"]
    assert problems(plugins=plugins, cut_cross_entropy=False) == ""
    assert problems(plugins=plugins, cut_cross_entropy="false") == ""
    assert "`cut_cross_entropy: true`" in problems(plugins=plugins, cut_cross_entropy="true")


@pytest.mark.parametrize("regional", ["1", "true", "TRUE", "yes", "on"])
@pytest.mark.parametrize(
    ("backend", "keys", "refused"),
    [
        (None, {"torch_compile": True}, True),
        (None, {"torch_compile": "true"}, True),
        ("INDUCTOR", {}, True),
        ("no", {}, False),
        (None, {"torch_compile": "false"}, False),
    ],
)
def test_regional_compilation_by_the_environment_is_refused_where_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch, regional: str, backend: str | None, keys: dict[str, Any], refused: bool
) -> None:
    monkeypatch.delenv("ACCELERATE_DYNAMO_BACKEND", raising=False)
    if backend:
        monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", backend)
    monkeypatch.setenv("ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION", regional)
    assert ("`ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION` conflicts" in problems(**keys)) == refused
    monkeypatch.setenv("ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION", "False")
    assert problems(**keys) == ""


@pytest.mark.parametrize("key", [True, False, None, 1, 2.5, ("a", "b")])
def test_a_key_that_is_no_text_is_said(key: Any) -> None:
    (text,) = find_problems({"loss": "dece", key: 1})
    assert text.startswith(f"`{key}: 1` has a key that is no text")


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_run_without_an_end_is_refused(value: float) -> None:
    assert f"`num_epochs: {value}` is not a number that training can end at" in problems(num_epochs=value)


def test_everything_wrong_is_said_at_once() -> None:
    raw = {"loss": "DeCE", "use_dece": True, "dece_alpha_final": 2.0, "rl": "dpo", "dece_alpha_schedul": "epoch"}
    text = say_problems(find_problems(raw))
    assert text.startswith("axolotl-dece: 5 problems")
    assert all(key in text for key in raw)


@pytest.mark.parametrize(
    ("keys", "epochs", "expected"),
    [
        ({"dece_alpha_schedule": "epoch", "dece_alpha_base": 0.5}, 10, "almost nothing is learned"),
        ({"dece_label_smoothing": 0.0}, 1, "clean quality"),
        ({"dece_label_smoothing": 0.6}, 1, "majority"),
        ({"dece_decisions": "d.jsonl"}, 3, ""),
        ({}, 3, ""),
        ({"dece_alpha_schedule": "epoch"}, 20, ""),
        ({"loss": "label_smoothing", "dece_label_smoothing": 0.6}, 1, "majority"),
        ({"loss": "label_smoothing", "dece_label_smoothing": 0.0}, 1, "is plain cross-entropy"),
        ({"loss": "gce", "dece_label_smoothing": 0.0}, 1, ""),
        ({"loss": "ce", "dece_alpha_schedule": "epoch", "dece_alpha_base": 0.5}, 20, ""),
    ],
)
def test_what_is_allowed_but_hardly_meant_is_warned_about(keys: dict[str, Any], epochs: float, expected: str) -> None:
    found = find_warnings(validated(**keys), epochs)
    assert (expected in "\n".join(found)) if expected else found == []


ANYTHING = (
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.lists(st.floats(), max_size=2)
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(sorted(DeceKeys.model_fields)), ANYTHING, max_size=7))
def test_whatever_is_accepted_makes_a_schedule_in_range(raw: dict[str, Any]) -> None:
    """Fuzz: nothing out of range passes, and nothing but sentences comes back."""
    found = find_problems(raw)
    assert all(isinstance(text, str) and "`" in text for text in found)
    if not found:
        keys = DeceKeys.model_validate(raw).model_dump()
        assert raw["loss"] != "dece" or 0.0 < alpha_schedule(keys).value < 1.0
        assert 0.0 < keys["dece_gce_q"] <= 1.0
