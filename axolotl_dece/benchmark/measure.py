"""Time and peak memory of forward and backward, in rounds that every contestant takes part in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from platform import processor, python_version
from statistics import median
from typing import Any

import torch
from torch import Tensor

from axolotl_dece.benchmark.contestants import HeadLoss, contestants
from axolotl_dece.loss.criterion import Mixture


@dataclass(frozen=True)
class Shape:
    """What is measured.

    Attributes:
        tokens: N.
        vocab: V.
        hidden: H.
        dtype: Of hidden states and weight.
        frozen_head: The weight needs no gradient, as under LoRA and QLoRA.
        masked: Share of the tokens without a target, in [0, 1).
    """

    tokens: int
    vocab: int
    hidden: int
    dtype: torch.dtype
    frozen_head: bool = False
    masked: float = 0.0


@dataclass
class Result:
    """One contestant.

    Attributes:
        name: As in the table.
        missing: Why it was not measured; None when it was.
        loss: Mean loss, to see that it computes something sensible.
        peak_bytes: Highest memory above the inputs in one step, gradients included.
        seconds: One number per round; on a CPU the processor time of this process.
    """

    name: str
    missing: str | None = None
    loss: float | None = None
    peak_bytes: int | None = None
    seconds: list[float] = field(default_factory=list)

    @property
    def median_seconds(self) -> float | None:
        return median(self.seconds) if self.seconds else None


def measure(
    shape: Shape, device: torch.device, mixture: Mixture, rounds: int, told: Callable[[str], None] = lambda _: None
) -> list[Result]:
    """Results of all contestants, those that are missing included.

    Args:
        shape: Sizes and dtype.
        device: Where.
        mixture: The DeCE that is measured.
        rounds: How many times each is timed, after a first step that counts memory and compiles what is compiled.
        told: Hears the name of each contestant before its step.
    """
    hidden, weight, target = _inputs(shape, device)
    field_of_play = contestants(device, shape.dtype, mixture)
    results = {name: Result(name, loss if isinstance(loss, str) else None) for name, loss in field_of_play.items()}
    running = {name: loss for name, loss in field_of_play.items() if not isinstance(loss, str)}

    def step_of(loss_of: HeadLoss) -> Callable[[], float]:
        def step() -> float:
            loss = loss_of(hidden, weight, target)
            loss.backward()
            # nothing of this step may be given back during the next one, whose memory is counted
            hidden.grad = weight.grad = None
            return float(loss.detach())

        return step

    for name, loss_of in list(running.items()):
        told(name)
        try:
            results[name].loss, results[name].peak_bytes = _peak(step_of(loss_of), device)
        except torch.OutOfMemoryError:
            results[name].missing = "out of memory"
            del running[name]
    for _ in range(rounds):
        for name, loss_of in running.items():
            told(name)
            results[name].seconds.append(_seconds(step_of(loss_of), device))
    return list(results.values())


def describe(shape: Shape, device: torch.device, results: list[Result]) -> dict[str, Any]:
    """The measurement as JSON: where, what, and every number."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor() or "CPU"
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"python": python_version(), "torch": torch.__version__},
        "shape": asdict(shape) | {"dtype": str(shape.dtype).removeprefix("torch.")},
        "results": [asdict(result) | {"median_seconds": result.median_seconds} for result in results],
    }


def _inputs(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states and a head whose logits have a spread of about one, and random targets."""
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int, spread: float = 1.0) -> Tensor:
        return (spread * torch.randn(*size, generator=generator)).to(device, shape.dtype)

    hidden = normal(shape.tokens, shape.hidden).requires_grad_()
    weight = normal(shape.vocab, shape.hidden, spread=shape.hidden**-0.5).requires_grad_(not shape.frozen_head)
    target = torch.randint(shape.vocab, (shape.tokens,), generator=generator)
    target[: int(shape.masked * shape.tokens)] = -100
    return hidden, weight, target.to(device)


def _seconds(step: Callable[[], float], device: torch.device) -> float:
    """Processor time on a CPU, which other processes disturb less than the clock; the device's own time elsewhere."""
    if device.type == "cpu":
        start = time.process_time()
        step()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    step()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _peak(step: Callable[[], float], device: torch.device) -> tuple[float, int]:
    """What `step` returns and the highest memory while it runs, above what is there when it starts."""
    if device.type == "cuda":
        # what is compiled or planned once is not part of a step
        step()
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        value = step()
        return value, torch.cuda.max_memory_allocated(device) - before
    # torch's tracer announces itself on the terminal
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        value = step()
    held = peak = 0
    for change in _allocations(profile):
        held += change
        peak = max(peak, held)
    return value, peak


def _allocations(profile: Any) -> Iterator[int]:
    """Bytes taken from (positive) and given back to (negative) torch's allocator, in order."""
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        yield event.nbytes()
