"""What a Triton kernel becomes on a device that is not here: registers, spills and instructions, from its machine code.

NVIDIA's tools come with Triton; AMD's numbers are in the assembler text.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from axolotl_dece.loss import triton_rows
from axolotl_dece.loss.criterion import Mixture

NVIDIA = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
POINTERS = {"logits": None, "target": "i64", "loss": "fp32", "ce": "fp32", "sigma": "fp32", "scale": "fp32"}
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
INTEGERS = {"row_stride": "i64", "classes": "i32", "ignore_index": "i32"}


@dataclass(frozen=True)
class MachineCode:
    """What matters of one compiled kernel.

    Attributes:
        registers: Per thread.
        spills: Registers kept in memory.
        per_logit: Instructions per logit in all sweeps together.
    """

    registers: int
    spills: int
    per_logit: float


def compile_kernel(arch: int | str, dtype: str, mixture: Mixture, classes: int = 151_936) -> MachineCode:
    """Build `dece_rows` as it is launched for `classes` that divide by 16, in `dtype`, for an NVIDIA or AMD `arch`."""
    hardware = "amd" if isinstance(arch, str) else "nvidia"
    values = triton_rows.launch_constants(mixture, classes, hardware, DTYPES[dtype])
    fixed = {name: value for name, value in values.items() if name.isupper()}
    fixed |= {"GRADIENT": True, "SCALED": True, "BLOCK": triton_rows.MAX_BLOCK, "HARDWARE": hardware}
    names = triton_rows.dece_rows.arg_names
    aligned = [*POINTERS, "row_stride", "classes"]
    source = ASTSource(
        fn=triton_rows.dece_rows,
        signature={name: "constexpr" if name in fixed else _type(name, dtype) for name in names},
        constexprs={(names.index(name),): value for name, value in fixed.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    warps, width = (16, 64) if hardware == "amd" else (32, 32)
    target = GPUTarget("hip" if hardware == "amd" else "cuda", arch, width)
    built = triton.compile(source, target=target, options={"num_warps": warps, "enable_fp_fusion": True})
    lanes = triton_rows.MAX_BLOCK // (warps * width)
    read = _amd if hardware == "amd" else _nvidia
    return read(built, lanes)


def _type(name: str, dtype: str) -> str:
    if name in POINTERS:
        return f"*{POINTERS[name] or dtype}"
    return INTEGERS.get(name, "fp32")


def _nvidia(built: Any, lanes: int) -> MachineCode:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(built.asm["cubin"])
        file.flush()
        usage = _run("cuobjdump", "-res-usage", file.name)
        text = _run("nvdisasm", "-c", file.name)
    registers, stack, local = map(int, re.search(r"REG:(\d+) STACK:(\d+).*?LOCAL:(\d+)", usage).groups())
    code = [line for line in map(_nvidia_line, text.splitlines()) if line]
    return MachineCode(registers, stack + local, _per_logit(code, lanes, "MUFU.EX2", "LDG", r"\bBRA\b.*?(\.L_x_\d+)"))


def _nvidia_line(line: str) -> str | None:
    found = re.match(r"\s*(\.L_x_\d+:)", line) or re.match(r"\s*/\*[0-9a-f]+\*/\s+(.*?);", line)
    return found[1] if found else None


def _amd(built: Any, lanes: int) -> MachineCode:
    text = built.asm["amdgcn"]
    count = {name: int(re.search(rf"\.{name}:\s+(\d+)", text)[1]) for name in ("vgpr_count", "vgpr_spill_count")}
    # waits and hazards are no work
    code = [
        line
        for line in (raw.split(";")[0].strip() for raw in text.splitlines())
        if re.match(r"\.LBB\d+_\d+:|[vsgdb][a-z]*_", line) and not line.startswith(("s_waitcnt", "s_nop"))
    ]
    per_logit = _per_logit(code, lanes, "v_exp_f32", "_load_", r"s_c?branch\S*\s+(\.LBB\d+_\d+)")
    return MachineCode(count["vgpr_count"], count["vgpr_spill_count"], per_logit)


def _run(tool: str, *args: str) -> str:
    return subprocess.run([str(NVIDIA / tool), *args], capture_output=True, text=True, check=True).stdout


def _per_logit(code: list[str], lanes: int, exponential: str, load: str, jump: str) -> float:
    """Sum over the loops of instructions / logits; a loop handles as many logits as it has exponentials, up to one
    more for a running maximum, in multiples of the `lanes` of a thread. Loops within a loop are part of it.
    """
    labels: dict[str, int] = {}
    loops: dict[int, int] = {}
    for at, line in enumerate(code):
        if line.endswith(":"):
            labels[line[:-1]] = at
        elif (found := re.search(jump, line)) and found[1] in labels:
            loops[labels[found[1]]] = at
    total = 0.0
    for start, end in loops.items():
        body = [line for line in code[start : end + 1] if not line.endswith(":")]
        exponentials = sum(exponential in line for line in body)
        if exponentials >= lanes and any(load in line for line in body) and not _encloses(start, end, loops):
            total += len(body) / (exponentials // lanes * lanes)
    return total


def _encloses(start: int, end: int, loops: dict[int, int]) -> bool:
    return any(start < other_start and other_end < end for other_start, other_end in loops.items())
