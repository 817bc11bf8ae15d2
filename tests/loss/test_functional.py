"""`dece_loss` as a user meets it: shapes, reductions, errors."""

import pytest
import torch

from axolotl_dece import dece_loss

LOGITS = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([[0, -100, 4], [1, 2, -100]])


def test_none_keeps_the_shape_and_zeros_what_is_ignored() -> None:
    loss = dece_loss(LOGITS, TARGET, alpha=0.9, reduction="none")
    assert loss.shape == TARGET.shape
    assert (loss[TARGET == -100] == 0).all()


def test_mean_divides_by_the_positions_that_count() -> None:
    total = dece_loss(LOGITS, TARGET, alpha=0.9, reduction="sum")
    torch.testing.assert_close(dece_loss(LOGITS, TARGET, alpha=0.9), total / 4)


def test_num_items_divides_the_sum_instead() -> None:
    total = dece_loss(LOGITS, TARGET, alpha=0.9, reduction="sum")
    torch.testing.assert_close(dece_loss(LOGITS, TARGET, alpha=0.9, num_items=10), total / 10)
    torch.testing.assert_close(dece_loss(LOGITS, TARGET, alpha=0.9, num_items=torch.tensor(10)), total / 10)


def test_another_ignore_index_may_even_be_a_class() -> None:
    found = dece_loss(LOGITS, TARGET.clamp(min=0), alpha=0.9, ignore_index=0, reduction="none")
    assert found[0, 0] == 0.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", -0.1),
        ("alpha", 1.5),
        ("alpha", float("nan")),
        ("label_smoothing", 1.0),
        ("label_smoothing", -0.1),
        ("prob_floor", 1.0),
        ("prob_floor", -1e-9),
        ("reduction", "average"),
    ],
)
def test_a_bad_argument_is_named_with_its_value(name: str, value: object) -> None:
    arguments = {"alpha": 0.9, name: value}
    with pytest.raises(ValueError, match=name) as error:
        dece_loss(LOGITS, TARGET, **arguments)
    assert repr(value) in str(error.value)


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 5\)"):
        dece_loss(LOGITS, TARGET[0], alpha=0.9)


def test_num_items_without_a_sum_is_refused() -> None:
    with pytest.raises(ValueError, match="num_items"):
        dece_loss(LOGITS, TARGET, alpha=0.9, num_items=3, reduction="none")
