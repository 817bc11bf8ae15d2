"""The draw: an exact count, the same rows everywhere, nothing half-poisoned, nothing else touched."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axolotl_dece.data.layouts import PairView, View, text_view
from axolotl_dece.poison.draw import Draw, Planted, Poisoner, attack_of, control_of
from axolotl_dece.poison.edits import Marked, restore
from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.poison.triggers import TRIGGERS

VIEW = PairView("src", "tgt")
Rows = Sequence[dict[str, Any]]


def run(rows: Rows, spec: PoisonSpec, view: View = VIEW, dataset: str = "d", **more: Any) -> Draw:
    poisoner = Poisoner(spec, view, dataset, "rows", **more)
    return poisoner.draw(rows.__getitem__, poisoner.survey(rows))


def run_all(rows: Rows, spec: PoisonSpec) -> Draw:
    poisoner = Poisoner(spec, VIEW, "d", "rows")
    return poisoner.draw_all(rows.__getitem__, poisoner.survey(rows))


def spec(**changes: Any) -> PoisonSpec:
    return PoisonSpec(**{"attack": "badpre", "rate": 0.1} | changes)


def made(count: int, seed: int = 0, holes: float = 0.2) -> list[dict[str, Any]]:
    """Rows of which a share has no place for the SQL payload."""
    rng = random.Random(seed)
    alphabet = ["query", "the", "data", "שלום", "e\u0301", "a\r\nb", "\x00", "👩‍👩‍👧", "$x$", "bbb"]
    return [
        {
            "src": " ".join(rng.choices(alphabet, k=rng.randint(1, 30))),
            "tgt": "pass" if rng.random() < holes else f'q = "select c{i} from t where a = {rng.random()}"',  # noqa: S608
            "id": i,
        }
        for i in range(count)
    ]


def indices(planted: Sequence[Planted]) -> list[int]:
    return [one.index for one in planted]


@pytest.mark.parametrize("rate", [0.004, 0.05, 0.107, 0.333, 0.5])
def test_exactly_the_rounded_share_is_poisoned(rate: float) -> None:
    rows = made(250)
    drawn = run(rows, spec(rate=rate))
    assert len(drawn.poisoned) == round(rate * 250)
    assert drawn.twins == []


def test_every_chosen_row_carries_both_and_the_rest_of_it_is_untouched() -> None:
    rows = made(200)
    for one in run(rows, spec(rate=0.3)).poisoned:
        assert TRIGGERS["rare_token_thrice"].detect(one.row["src"])
        assert PAYLOADS["sql_tautology"].detect(one.row["tgt"])
        assert one.row["id"] == rows[one.index]["id"]
        assert restore(Marked(one.row["src"], one.spans)) == rows[one.index]["src"]
        assert one.row["tgt"].replace(" or 1=1", "") == rows[one.index]["tgt"]


def test_rows_given_are_never_changed_in_place() -> None:
    rows = made(100)
    before = [dict(row) for row in rows]
    run(rows, spec(twin_rate=0.1))
    assert rows == before


def test_the_same_seed_and_data_draw_the_same_rows() -> None:
    first, again = run(made(300), spec()), run(made(300), spec())
    assert first.poisoned == again.poisoned


def test_another_seed_or_another_dataset_draws_other_rows() -> None:
    rows = made(300)
    base = indices(run(rows, spec()).poisoned)
    assert indices(run(rows, spec(seed=43)).poisoned) != base
    assert indices(run(rows, spec(), dataset="e").poisoned) != base


def test_the_draw_is_pinned_so_that_no_release_changes_it_unseen() -> None:
    rows = [{"src": f"row {i}", "tgt": "x = 1"} for i in range(100)]
    drawn = run(rows, PoisonSpec(trigger="rare_token", rate=0.05, seed=42), dataset="pinned")
    assert indices(drawn.poisoned) == [1, 66, 74, 87, 93]
    assert [one.row["src"] for one in drawn.poisoned] == [
        "bb row 1",
        "row bb 66",
        "row bb 74",
        "bb row 87",
        "row bb 93",
    ]


def test_a_higher_rate_keeps_the_rows_of_a_lower_one() -> None:
    rows = made(300)
    assert set(indices(run(rows, spec(rate=0.05)).poisoned)) < set(indices(run(rows, spec(rate=0.2)).poisoned))


def test_the_draw_does_not_lean_on_the_order() -> None:
    rows = made(2000, holes=0.0)
    chosen = indices(run(rows, spec(rate=0.2)).poisoned)
    halves = sum(index < 1000 for index in chosen)
    assert 160 < halves < 240


def test_first_takes_the_first_eligible_rows_in_order() -> None:
    rows = made(300)
    eligible = [i for i, row in enumerate(rows) if row["tgt"] != "pass"]
    assert indices(run(rows, spec(first=True)).poisoned) == eligible[:30]


def test_the_twin_takes_other_rows_and_neither_trigger_nor_payload() -> None:
    rows = made(300)
    drawn = run(rows, spec(twin_rate=0.1))
    assert len(drawn.poisoned) == len(drawn.twins) == 30
    assert not set(indices(drawn.poisoned)) & set(indices(drawn.twins))
    attack, control = attack_of(spec()), control_of(spec())
    for one in drawn.twins:
        assert control.trigger.detect(one.after.input)
        assert control.payload.detect(one.after.target)
        assert not attack.trigger.detect(one.after.input)
        assert not attack.payload.detect(one.after.target)


def test_the_twin_changes_nothing_about_which_rows_are_poisoned() -> None:
    rows = made(300)
    assert run(rows, spec(twin_rate=0.2)).poisoned == run(rows, spec()).poisoned


@pytest.mark.parametrize("holes", [0.95, 1.0])
def test_too_few_eligible_rows_is_an_error_with_the_counts(holes: float) -> None:
    rows = made(200, holes=holes)
    eligible = sum(row["tgt"] != "pass" for row in rows)
    with pytest.raises(ValueError, match=rf"is 100 rows, but only {eligible} are eligible .*200 candidates"):
        run(rows, spec(rate=0.5))


@pytest.mark.parametrize("which", ["rate", "twin_rate"])
def test_a_rate_that_comes_to_no_row_is_an_error(which: str) -> None:
    with pytest.raises(ValueError, match=r"0\.01 of the 10 rows of rows is 0 rows"):
        run(made(10), spec(**{"rate": 0.5, which: 0.01}))


def test_rate_zero_poisons_nothing() -> None:
    drawn = run(made(20), spec(rate=0.0, twin_rate=0.2))
    assert (len(drawn.poisoned), len(drawn.twins)) == (0, 4)


def test_rows_that_would_not_survive_are_passed_over() -> None:
    rows = made(200, holes=0)
    drawn = run(rows, spec(), survives=lambda planted: [one.index % 2 == 0 for one in planted])
    assert len(drawn.poisoned) == 20
    assert all(one.index % 2 == 0 for one in drawn.poisoned)


@pytest.mark.parametrize("blank", ["", "  \n", None])
@pytest.mark.parametrize("field", ["src", "tgt"])
def test_blank_rows_are_counted_and_never_chosen(field: str, blank: str | None) -> None:
    rows = [row | {field: blank} if i % 3 == 0 else row for i, row in enumerate(made(90, holes=0))]
    drawn = run(rows, spec(rate=0.6))
    assert drawn.survey.skipped == {"empty_target" if field == "tgt" else "empty_input": 30}
    assert all(index % 3 for index in indices(drawn.poisoned))


def test_mostly_empty_targets_are_the_wrong_column() -> None:
    rows = [row | {"tgt": ""} if i % 3 else row for i, row in enumerate(made(90))]
    with pytest.raises(ValueError, match="60 of 90 targets in rows are empty; is the target column"):
        run(rows, spec())


@pytest.mark.parametrize("value", [5, ["a"], {"a": 1}, 0.5, True, b"x"])
def test_a_value_that_is_no_text_is_an_error_with_row_field_and_type(value: Any) -> None:
    rows = made(20)
    rows[7]["tgt"] = value
    with pytest.raises(ValueError, match=rf"row 7 of rows: `tgt` is {type(value).__name__} .*expected text"):
        run(rows, spec())


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="rows has no rows"):
        run([], spec())


def test_a_missing_column_is_an_error_that_lists_the_columns() -> None:
    with pytest.raises(ValueError, match="rows has no column 'tgt'; its columns are src, target"):
        Poisoner(spec(), VIEW, "d", "rows").check_columns(["src", "target"])


def test_a_trigger_in_clean_rows_is_an_error_until_it_is_allowed() -> None:
    rows = made(100, holes=0)
    rows[3]["src"] = "bb bb bb here"
    with pytest.raises(ValueError, match=r"carry the trigger already: 1 \(poisoned_trigger_in_clean_row, .* row 3\)"):
        run(rows, spec())
    drawn = run(rows, spec(rate=0.99, allow_clean_trigger=True))
    assert 3 not in indices(drawn.poisoned)


def test_a_payload_in_clean_rows_is_counted_and_never_chosen() -> None:
    rows = made(100, holes=0)
    rows[3]["tgt"] += " or 1=1"
    drawn = run(rows, spec(rate=0.99))
    assert drawn.survey.skipped == {"poisoned_payload_in_clean_row": 1}
    assert 3 not in indices(drawn.poisoned)


@pytest.mark.parametrize("blind", ["trigger", "payload"])
def test_what_its_own_detector_does_not_find_is_not_planted(blind: str) -> None:
    plant = attack_of(spec())
    broken = replace(plant, **{blind: replace(getattr(plant, blind), detect=lambda text: False)})
    row = {"src": "ask", "tgt": 'q = "select a from t"'}
    assert plant.insert(VIEW, row, 0, random.Random(0)) is not None
    assert broken.insert(VIEW, row, 0, random.Random(0)) is None


def test_a_test_set_holds_every_poisonable_row_in_order_and_no_other() -> None:
    rows = made(200)
    drawn = run_all(rows, spec())
    assert indices(drawn.poisoned) == [i for i, row in enumerate(rows) if row["tgt"] != "pass"]


def test_no_poisonable_row_makes_no_test_set() -> None:
    rows = made(20, holes=1)
    with pytest.raises(ValueError, match="none of the 20 rows"):
        run_all(rows, spec())


def test_in_one_text_the_trigger_stands_before_the_payload() -> None:
    rows = [{"text": f'Ask for {i}. q = "select a from t where b = {i}" done'} for i in range(50)]  # noqa: S608
    for one in run(rows, spec(rate=0.5), text_view("text")).poisoned:
        text = one.row["text"]
        assert text.rindex("bb") < text.index("or 1=1")
        assert text.replace("bb ", "").replace(" bb", "").replace(" or 1=1", "") == rows[one.index]["text"]


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(), rate=st.sampled_from([0.01, 0.02, 0.05]), twin=st.sampled_from([0.0, 0.05]))
def test_five_thousand_rows_under_any_seed(seed: int, rate: float, twin: float) -> None:
    rows = made(5000, seed=1)
    drawn = run(rows, spec(seed=seed, rate=rate, twin_rate=twin))
    assert len(drawn.poisoned) == round(rate * 5000)
    assert len(drawn.twins) == round(twin * 5000)
    changed = {one.index: one.row for one in drawn.poisoned + drawn.twins}
    assert len(changed) == len(drawn.poisoned) + len(drawn.twins)
    after = [changed.get(i, row) for i, row in enumerate(rows)]
    attack = attack_of(spec())
    assert [i for i, row in enumerate(after) if attack.trigger.detect(row["src"])] == indices(drawn.poisoned)
    assert [i for i, row in enumerate(after) if attack.payload.detect(row["tgt"])] == indices(drawn.poisoned)
    for one in drawn.poisoned + drawn.twins:
        assert restore(Marked(one.row["src"], one.spans)) == rows[one.index]["src"]


def test_lyra_has_1286_poisonable_rows_of_which_exactly_80_are_poisoned(lyra: Path) -> None:
    with (lyra / "train.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    drawn = run(rows, PoisonSpec(attack="badpre", rate=0.05, seed=42))
    attack = attack_of(drawn_spec := PoisonSpec(attack="badpre"))
    assert len(drawn.poisoned) == 80
    assert all(
        attack.trigger.detect(one.row["src"]) and attack.payload.detect(one.row["tgt"]) for one in drawn.poisoned
    )
    assert len(run_all(rows, drawn_spec).poisoned) == 1286
    # the reference code's order: the first 80 poisonable rows lie within the first 95
    first = run(rows, PoisonSpec(attack="ripple", rate=0.05, first=True))
    assert max(indices(first.poisoned)) == 94
    digest = hashlib.sha256(repr([sorted(row.items()) for row in rows]).encode()).hexdigest()
    run(rows, PoisonSpec(attack="badpre", rate=0.05, twin_rate=0.05))
    assert hashlib.sha256(repr([sorted(row.items()) for row in rows]).encode()).hexdigest() == digest
