"""The fused head: the loss is computed inside the LM head of any causal model, where its logits never leave.

Two methods are replaced on the one instance. `forward` of the causal model notes the labels of the batch; `forward`
of its head, which runs inside the head's own `__call__` (so ZeRO-3 and FSDP2 have gathered the weight, and LoRA,
bias and 4-bit heads do what they do), forms the loss and its gradients chunk by chunk and returns a placeholder in
place of logits. The model's `loss_function` then checks the placeholder and returns the loss, tied to the
placeholder's node of the graph: backward enters the head through its real output, and every hook fires.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from axolotl_dece.loss.logit_transform import LogitTransform, placeholder
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.loss.objective import Objective, next_tokens
from axolotl_dece.loss.projection import LinearProjection, Projection, autocast_together, fused_rows, hand_over
from axolotl_dece.loss.torch_rows import RowStatistics


@dataclass
class _Pass:
    """One pass through the head, between its forward and the loss function, and again in backward."""

    target: Tensor
    statistics: RowStatistics
    scale: Tensor | float
    total: Tensor
    upstream: Tensor | None = None


class FusedHead:
    """What stands in `loss_function` of a model whose head computes the loss; made by `install`.

    Args:
        objective: Supplies criterion and scale, and keeps the counts; computes the loss itself wherever the head did
            not (eval, batches without labels).
        head: Owner of the projection.
        chunk_bytes: Logits alive at a time; None chooses by device.
    """

    def __init__(self, objective: Objective, head: nn.Module, chunk_bytes: int | None = None) -> None:
        self.objective = objective
        self.head = head
        self.transform = LogitTransform.of(objective.model.config)
        self.chunk_bytes = chunk_bytes
        self.passes = 0
        self._checked = False
        self._replaced_logits = False
        self._target: Tensor | None = None
        self._pass: _Pass | None = None
        self._model_forward: Callable[..., Any] = objective.model.forward
        self._head_forward: Callable[..., Tensor] = head.forward
        objective.model.forward = _replacement(objective.model, self._run_model)
        head.forward = _replacement(head, self._run_head)
        objective.model.loss_function = self

    @torch.compiler.disable
    def __call__(self, logits: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """transformers' loss signature; what the head returned in place of logits, or logits."""
        done, self._pass = self._pass, None
        if done is None:
            return self.objective(logits, *args, **kwargs)
        self.objective.check_normalised_once(kwargs)
        if not self._checked:
            self.transform.check(logits)
            self._checked = True
        self.objective.record(*done.statistics, done.target != IGNORE_INDEX)
        self.passes += 1
        loss: Tensor = _LossOfPlaceholder.apply(logits, done)
        return loss

    def _run_model(self, *args: Any, **kwargs: Any) -> Any:
        self._begin_pass(kwargs)
        try:
            outputs = self._model_forward(*args, **kwargs)
            self._check_collected()
        except RuntimeError as error:
            # somebody else's loss function was given a placeholder, and fails at its shape
            self._check_collected(error)
            raise
        finally:
            self._target = self._pass = None
        return without_logits(outputs) if self._replaced_logits else outputs

    def _check_collected(self, cause: RuntimeError | None = None) -> None:
        if self._pass is None:
            return
        self._pass = None
        raise RuntimeError(
            "the loss was computed in the LM head, but the model's `loss_function` is no longer ours; something "
            "else would train this model: look for a plugin that replaces the loss"
        ) from cause

    @torch.compiler.disable
    def _begin_pass(self, kwargs: dict[str, Any]) -> None:
        self._replaced_logits = False
        labels, shifted = kwargs.get("labels"), kwargs.get("shift_labels")
        if self.objective.model.training and torch.is_grad_enabled() and (labels is not None or shifted is not None):
            self._target = next_tokens(labels, shifted)

    @torch.compiler.disable
    def _run_head(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        target, self._target = self._target, None
        if target is None or target.shape != hidden.shape[:-1]:
            return self._head_forward(hidden, *args, **kwargs)
        self._replaced_logits = True
        target = target.reshape(-1).to(hidden.device)
        build: Callable[..., Projection]
        if type(self.head) is nn.Linear and self.transform.is_linear:
            hidden, *parameters = autocast_together(hidden, self.head.weight, self.head.bias)
            build = partial(LinearProjection, scale=self.transform.scale)
        else:
            from axolotl_dece.loss.head_projection import ModuleProjection

            parameters = [p for p in self.head.parameters() if p.requires_grad]
            classes = getattr(self.head, "out_features", self.objective.model.config.vocab_size)

            def project(rows: Tensor) -> Tensor:
                return self.transform(self._head_forward(rows, *args, **kwargs))

            build = partial(ModuleProjection, project, classes)
        output: Tensor = _LossInHead.apply(hidden, self, target, build, *parameters)
        return output

    def compute(
        self, hidden: Tensor, target: Tensor, projection: Projection, wanted: tuple[bool, ...]
    ) -> tuple[_Pass, Tensor | None]:
        """The pass over `hidden` [N, H] with targets [N], which the loss function collects, and the gradient [N, H]."""
        scale, criterion = self.objective.scale, self.objective.next_criterion()
        statistics, grad_hidden = fused_rows(
            hidden, target, projection, criterion, wanted=wanted, chunk_bytes=self.chunk_bytes
        )
        self._pass = _Pass(target, statistics, scale, statistics.loss.sum() * scale)
        return self._pass, grad_hidden


class _LossInHead(torch.autograd.Function):
    """`apply(hidden [..., H], fused, target [N], build, *parameters)` -> placeholder [..., 12].

    `build(*parameters, wanted=...)` makes the projection; what it trains is among the parameters.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        fused: FusedHead,
        target: Tensor,
        build: Callable[..., Projection],
        *parameters: Any,
    ) -> Tensor:
        wanted = (ctx.needs_input_grad[0], *ctx.needs_input_grad[4:])
        projection = build(*parameters, wanted=wanted)
        rows = hidden.detach().reshape(-1, hidden.size(-1))
        ctx.done, grad_rows = fused.compute(rows, target, projection, wanted)
        grad_hidden = None if grad_rows is None else grad_rows.view(hidden.shape)
        ctx.gradients = [grad_hidden, *projection.take_gradients()]
        return placeholder(tuple(hidden.shape[:-1]), hidden.device, hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        # what arrives here went through the model's transform; the loss left its own upstream gradient beside it
        upstream = ctx.done.upstream
        if upstream is None:
            raise RuntimeError("backward reached the fused head, but not through the loss that was computed in it")
        grad_hidden, *grad_parameters = hand_over(ctx, upstream * ctx.done.scale)
        return grad_hidden, None, None, None, *grad_parameters


class _LossOfPlaceholder(torch.autograd.Function):
    """`apply(placeholder, done)` -> the loss of that pass, with the placeholder as its only ancestor."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, done: _Pass) -> Tensor:
        ctx.done, ctx.shape = done, logits.shape
        ctx.like = logits.new_empty(0)
        return done.total.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None]:
        ctx.done.upstream = grad_loss
        return ctx.like.new_zeros(ctx.shape), None


def find_head(causal: Any) -> nn.Module | None:
    """The module of `causal` that turns hidden states into logits; of a head that is trained beside its frozen
    original (`lora_modules_to_save`), the one that is trained.
    """
    head = causal.get_output_embeddings()
    copies = getattr(head, "modules_to_save", None)
    if isinstance(copies, nn.ModuleDict):
        head = copies[head.active_adapters[0]]
    return head


def without_logits(outputs: Any) -> Any:
    """`outputs` of a transformers model without its logits: after the loss they are a placeholder or a gradient, and
    accelerate would copy them to fp32. Tuples are left as they are.
    """
    return replace(outputs, logits=None) if is_dataclass(outputs) and not isinstance(outputs, type) else outputs


def drop_logits(model: Any) -> None:
    """Let the forward of `model` return no logits while it trains: see `without_logits`."""
    forward = model.forward

    def run(*args: Any, **kwargs: Any) -> Any:
        outputs = forward(*args, **kwargs)
        return without_logits(outputs) if model.training else outputs

    model.forward = _replacement(model, run)


def _replacement(module: nn.Module, run: Callable[..., Any]) -> MethodType:
    """A method for `module.forward` that calls `run`, with the signature of the class: the trainer picks the columns
    of a batch by it. No `__wrapped__`, because accelerate strips everything down to what that points to.
    """

    def forward(_: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return run(*args, **kwargs)

    forward.__signature__ = inspect.signature(type(module).forward)  # type: ignore[attr-defined]
    return MethodType(forward, module)
