"""What DeCE is compared with: each loss is its formula and the derivative of it, in a few lines.

Label-smoothed cross-entropy has no class here: it is `Mixture(alpha=1, label_smoothing, prob_floor=0)`, exactly.
Shapes: R rows of a block, V classes; columns are [R, 1].
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

NEXT_TO_ZERO = 1e-20
"""The q with which GCE is cross-entropy to the last digit of fp32 and fp64: (1 - p ** q) / q is -log p there."""

LABEL_FLOOR = 1e-4
"""Label of the wrong classes in In-trust: the authors clamp the one-hot vector there."""


class Baseline(ABC):
    """A loss of the log-probabilities and the target, with nothing that moves over training."""

    @abstractmethod
    def loss_and_slope(self, log_p: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Loss [R, 1] and its derivative by the log-probabilities [R, V], as if those were free of each other.

        Args:
            log_p: fp32 or fp64, [R, V].
            column: Target of every row, [R, 1].
        """

    def block(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(loss [R], cross-entropy [R], sigma of the target [R], gradient [R, V]).

        sigma is the pull on the target's logit as a share of cross-entropy's, which for GCE is p ** q; a loss that
        pulls harder than cross-entropy holds nothing back, so it ends at 1.

        Args:
            logits: fp32 or fp64, [R, V]; left as they are.
            target: A class for every row, [R].
        """
        column = target[:, None]
        log_p, others = _log_softmax(logits, column)
        loss, slope = self.loss_and_slope(log_p, column)
        # through the softmax; a row sums to zero, and making up the target's place from the others cancels no digits
        slope = (slope - log_p.exp() * slope.sum(dim=1, keepdim=True)).scatter_(1, column, 0.0)
        pull = slope.sum(dim=1, keepdim=True)
        # a target so sure that every other class underflows is pulled by neither
        sigma = torch.where(others > 0.0, pull / others, 1.0).clamp_(0.0, 1.0)
        ce = -log_p.gather(1, column)
        return loss.squeeze(1), ce.squeeze(1), sigma.squeeze(1), slope.scatter_(1, column, -pull)

    def of_rows(self, rows: slice | Tensor) -> Self:
        """The baseline of some of the rows: itself."""
        return self

    def trusting(self, trusted: Tensor) -> Self:
        """The baseline that is cross-entropy for some of the rows; NotImplementedError unless a class says how."""
        raise NotImplementedError(f"{self} has no form that trusts some rows and not others")


@dataclass(frozen=True)
class GeneralizedCrossEntropy(Baseline):
    """(1 - p_y ** q) / q: cross-entropy for q -> 0, mean absolute error (halved) for q = 1.

    Args:
        q: In (0, 1]. A tensor of shape [N] gives every token its own.

    Raises:
        ValueError: q is outside its range.

    Source: Zhang and Sabuncu, arXiv 1805.07836.
    """

    q: float | Tensor

    def __post_init__(self) -> None:
        # a tensor is made by our own code; looking at its values would stall a GPU
        if not isinstance(self.q, Tensor) and not 0.0 < self.q <= 1.0:
            raise ValueError(f"q must be in (0, 1], got {self.q!r}")

    def of_rows(self, rows: slice | Tensor) -> GeneralizedCrossEntropy:
        """The loss of some of the rows: itself, unless every token has a q of its own."""
        return replace(self, q=self.q[rows]) if isinstance(self.q, Tensor) else self

    def trusting(self, trusted: Tensor) -> GeneralizedCrossEntropy:
        """The loss that is cross-entropy where `trusted` [N] says so."""
        return replace(self, q=torch.where(trusted, NEXT_TO_ZERO, self.q))

    def loss_and_slope(self, log_p: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """As `Baseline.loss_and_slope`."""
        q = self.q.to(log_p.dtype)[:, None] if isinstance(self.q, Tensor) else self.q
        log_power = q * log_p.gather(1, column)
        return -log_power.expm1() / q, on_target(log_p, column, -log_power.exp())


@dataclass(frozen=True)
class InTrust(Baseline):
    """alpha * cross-entropy - beta * sum_i p_i log(delta * p_i + (1 - delta) * y_i), y one-hot but at least 1e-4.

    Args:
        alpha: Weight of cross-entropy, above 0.
        beta: Weight of the robust term, at least 0.
        delta: How far the robust term trusts the model rather than the label, in [0, 1).

    Raises:
        ValueError: A number is outside its range.

    Source: Huang et al., "Named Entity Recognition via Noise Aware Training Mechanism with Data Filter", Findings of
    ACL-IJCNLP 2021.
    """

    alpha: float
    beta: float
    delta: float

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < float("inf"):
            raise ValueError(f"alpha must be above 0, got {self.alpha!r}")
        if not 0.0 <= self.beta < float("inf"):
            raise ValueError(f"beta must be at least 0, got {self.beta!r}")
        if not 0.0 <= self.delta < 1.0:
            raise ValueError(f"delta must be in [0, 1), got {self.delta!r}")

    def loss_and_slope(self, log_p: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """As `Baseline.loss_and_slope`."""
        p = log_p.exp()
        m = self.delta * p + (1.0 - self.delta) * torch.full_like(p, LABEL_FLOOR).scatter_(1, column, 1.0)
        log_m = m.log()
        robust = -(p * log_m).sum(dim=1, keepdim=True)
        slope = -self.beta * p * (log_m + self.delta * p / m)
        slope.scatter_add_(1, column, torch.full_like(robust, -self.alpha))
        return self.beta * robust - self.alpha * log_p.gather(1, column), slope


@dataclass(frozen=True)
class ThresholdedCrossEntropy(Baseline):
    """-log p_y where p_y is at least `tau`, and nothing where it is below: a token that unlikely is never learned.

    Args:
        tau: In (0, 1).

    Raises:
        ValueError: tau is outside its range.

    Source: Li et al., arXiv 2510.00526, who write it -log(p) * 1[p >= q].
    """

    tau: float

    def __post_init__(self) -> None:
        if not 0.0 < self.tau < 1.0:
            raise ValueError(f"tau must be in (0, 1), got {self.tau!r}")

    def loss_and_slope(self, log_p: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """As `Baseline.loss_and_slope`."""
        log_target = log_p.gather(1, column)
        kept = (log_target >= math.log(self.tau)).to(log_p.dtype)
        return -kept * log_target, on_target(log_p, column, -kept)


@dataclass(frozen=True)
class EntropyAdaptive(Baseline):
    """-H log p_y, H the entropy in nats of the most likely classes made one; no gradient goes through H.

    Args:
        classes: How many of the most likely classes count, at least 2; all of them in a smaller vocabulary.

    Raises:
        ValueError: classes is below 2.

    Source: axolotl's `use_eaft` with its defaults (`axolotl/monkeypatch/loss/eaft.py` in 0.19 to 0.21), after
    https://github.com/ymxyll/LlamaFactory-EAFT. It adds 1e-10 to each probability before its logarithm; this does not.
    """

    classes: int = 20

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ValueError(f"classes must be at least 2, got {self.classes!r}")

    def loss_and_slope(self, log_p: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """As `Baseline.loss_and_slope`, but that the weight counts as a number."""
        top = log_p.topk(min(self.classes, log_p.size(1)), dim=1).values.softmax(dim=1)
        # the likeliest is one less the others: a probability next to one has lost the digits that its logarithm needs
        others = top[:, 1:].sum(dim=1, keepdim=True)
        entropy = torch.special.entr(top[:, 1:]).sum(dim=1, keepdim=True) - (1.0 - others) * torch.log1p(-others)
        return -entropy * log_p.gather(1, column), on_target(log_p, column, -entropy)


def rival_of(keys: Mapping[str, Any]) -> Baseline:
    """The rival that a validated config names.

    Raises:
        ValueError: `loss` is none of ours.
    """
    match keys["loss"]:
        case "gce":
            return GeneralizedCrossEntropy(keys["dece_gce_q"])
        case "in_trust":
            return InTrust(keys["dece_in_trust_alpha"], keys["dece_in_trust_beta"], keys["dece_in_trust_delta"])
        case "threshold":
            return ThresholdedCrossEntropy(keys["dece_threshold"])
        case "eaft":
            return EntropyAdaptive()
    raise ValueError(f"`loss: {keys['loss']}` is not a loss of axolotl-dece; `axolotl dece check` lists what is wrong")


def on_target(log_p: Tensor, column: Tensor, slope: Tensor) -> Tensor:
    """The derivative [R, V] of a loss that reads the target's log-probability alone, from that [R, 1]."""
    return torch.zeros_like(log_p).scatter_(1, column, slope)


def _log_softmax(logits: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities [R, V], exact for a confident target, and the probability of all other classes [R, 1]."""
    # torch's CPU log_softmax sums to one only up to 1e-5 at 150k classes
    log_p = logits - logits.logsumexp(dim=1, keepdim=True)
    others = log_p.exp().scatter_(1, column, 0.0).sum(dim=1, keepdim=True)
    log_p_target = torch.where(others < 0.5, torch.log1p(-others), log_p.gather(1, column))
    return log_p.scatter_(1, column, log_p_target), others
