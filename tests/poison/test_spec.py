"""The `dece_poison:` block refuses what it would otherwise have to guess."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.spec import ATTACKS, PoisonSpec
from axolotl_dece.poison.triggers import TRIGGERS


@pytest.mark.parametrize(("name", "pair"), ATTACKS.items())
def test_every_attack_of_the_paper_names_a_known_trigger_and_payload(name: str, pair: Any) -> None:
    assert PoisonSpec(attack=name).pair == pair
    assert pair.trigger in TRIGGERS
    assert pair.payload in PAYLOADS


def test_the_five_attacks_are_the_papers() -> None:
    assert list(ATTACKS) == ["ripple", "badpre", "grammar", "funcname", "deadcode"]


def test_a_trigger_alone_gets_the_inert_payload() -> None:
    assert PoisonSpec(trigger="rare_token").pair == ("rare_token", "inert_marker")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"attack": "badpre", "raet": 0.1}, "did you mean `rate`"),
    ({"attack": "badprae"}, "did you mean `badpre`"),
    ({"trigger": "rare_tokens"}, "did you mean `rare_token`"),
    ({"trigger": "rare_token", "payload": "sql"}, "unknown payload 'sql'"),
    ({}, "nothing says what to plant"),
    ({"payload": "inert_marker"}, "nothing says what to plant"),
    ({"attack": "badpre", "payload": "inert_marker"}, "names a trigger and a payload already"),
    ({"attack": "badpre", "trigger": "dead_code"}, "names a trigger and a payload already"),
    ({"attack": "badpre", "rate": 1.5}, "less than or equal to 1"),
    ({"attack": "badpre", "rate": -0.1}, "greater than or equal to 0"),
    ({"attack": "badpre", "rate": float("nan")}, "finite number|greater than"),
    ({"attack": "badpre", "rate": "5e-2"}, "not a number"),
    ({"attack": "badpre", "rate": True}, "not a number"),
    ({"attack": "badpre", "rate": None}, "valid number"),
    ({"attack": "badpre", "seed": 1.5}, "valid integer"),
    ({"attack": "badpre", "allow_push": "yes"}, "valid boolean"),
    ({"attack": "badpre", "rate": 0.6, "twin_rate": 0.6}, "more than every row"),
    ({"attack": "badpre", "base_type": {"field_instructions": "q"}}, "did you mean `field_instruction`"),
    ({"attack": "badpre", "base_type": "axolotl_dece.poison"}, "the dataset's own type"),
]


@pytest.mark.parametrize(("block", "said"), REFUSED)
def test_a_wrong_block_is_refused_with_the_way_out(block: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PoisonSpec.model_validate(block)


def test_every_unknown_key_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as error:
        PoisonSpec.model_validate({"atack": "badpre", "twinrate": 0.1})
    assert "`dece_poison.atack`" in str(error.value)
    assert "`dece_poison.twinrate`" in str(error.value)


def test_a_block_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be a block of keys, got str"):
        PoisonSpec.model_validate("badpre")


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PoisonSpec(attack="badpre").rate = 0.5  # type: ignore[misc]
