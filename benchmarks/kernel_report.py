# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Compiles every noising kernel for GPUs that need not be present and reads the machine code.

    python benchmarks/kernel_report.py                      # the table for an H100, as Markdown
    python benchmarks/kernel_report.py --targets sm_80 gfx942
    python benchmarks/kernel_report.py --json report.json   # every number of every target

The disassembler comes with triton. The kernels have no loop, so every instruction of the code is executed once. The
report divides their number by the elements of a thread.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path


os.environ["TRITON_INTERPRET"] = "0"

import triton  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from gan_diffusion.kernels.noising import triton_kernels  # noqa: E402


BLOCK, NUM_WARPS = 2048, 4
BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "u8": 1}


@dataclass(frozen=True)
class Card:
    """
    The limits of a card: lanes of each pipe per clock and multiprocessor, and memory bandwidth.

    Pipe rates: CUDA programming guide, table of arithmetic throughput. Clock and bandwidth: sustained, not peak.
    """

    name: str
    multiprocessors: int
    hertz: float
    bytes_per_second: float
    lanes: dict[str, int]


NVIDIA_LANES = {"issue": 128, "float": 128, "integer": 64, "special": 16, "memory": 32}
CARDS = {
    "sm_80": Card("A100", 108, 1.41e9, 1.8e12, NVIDIA_LANES),
    "sm_90": Card("H100", 132, 1.7e9, 3.0e12, NVIDIA_LANES),
    "sm_100": Card("B200", 148, 1.85e9, 7.0e12, NVIDIA_LANES),
    # One compute unit issues to four SIMDs of 16 lanes; transcendental functions run at a quarter of that.
    "gfx942": Card(
        "MI300X", 304, 2.1e9, 4.3e12, {"issue": 64, "float": 64, "integer": 64, "special": 16, "memory": 64}
    ),
}


@dataclass(frozen=True)
class Case:
    """One kernel, the dtypes of its samples and results, and the constants that differ from the defaults."""

    operation: str
    kernel: str
    sample: str
    result: str
    bytes_per_element: int
    constants: dict[str, int | bool] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.operation} {self.sample}" + (f"->{self.result}" if self.sample != self.result else "")


def main_cases() -> list[Case]:
    """Every kernel and dtype on its main path: aligned, contiguous, noise from Philox."""
    floats = [(dtype, dtype) for dtype in ("fp32", "bf16", "fp16")]
    pixels = [("u8", dtype) for dtype in ("fp32", "bf16", "fp16")]
    none = {"NOISE": 0}
    cases = []
    for operation, kernel, dtypes, reads, writes, constants in (
        ("noise", "noise_kernel", floats + pixels, 1, 1, {}),
        ("noise backward", "noise_kernel", floats, 1, 1, none),
        ("noise_pair", "noise_pair_kernel", floats + pixels, 1, 2, {}),
        ("noise_pair backward", "noise_pair_adjoint_kernel", floats, 2, 1, none),
        ("posterior_step", "posterior_step_kernel", floats, 2, 1, {}),
        ("posterior_step backward", "posterior_step_adjoint_kernel", floats, 1, 2, none),
        ("straight_path", "straight_path_kernel", floats + pixels, 1, 1, {}),
        ("straight_path backward", "straight_path_kernel", floats, 1, 1, none),
        ("straight_path and terminal", "straight_path_kernel", floats + pixels, 1, 2, {"TERMINAL": True}),
        ("straight_path and terminal backward", "straight_path_adjoint_kernel", floats, 2, 1, none),
    ):
        for sample, result in dtypes:
            moved = reads * BYTES[sample] + writes * BYTES[result]
            cases.append(Case(operation, kernel, sample, result, moved, constants))
    return cases


def other_cases() -> list[Case]:
    """The other paths: other layouts, explicit noise, seeds per sample, mirrored pixels."""
    return [
        Case("noise explicit", "noise_kernel", "fp32", "fp32", 12, {"NOISE": 1}),
        Case("noise own seeds", "noise_kernel", "fp32", "fp32", 8, {"OWN_SEED": True}),
        Case("noise channels-last", "noise_kernel", "fp32", "fp32", 8, {"CHANNELS": 3}),
        Case("noise channels-last", "noise_kernel", "bf16", "bf16", 4, {"CHANNELS": 3}),
        Case("noise unaligned", "noise_kernel", "fp32", "fp32", 8, {"ALIGNED": False}),
        Case("noise unaligned", "noise_kernel", "bf16", "bf16", 4, {"ALIGNED": False}),
        Case("noise mirrored", "noise_kernel", "u8", "bf16", 3, {"WIDTH": 32}),
        Case("noise mirrored channels-last", "noise_kernel", "u8", "bf16", 3, {"WIDTH": 32, "CHANNELS": 3}),
    ]


def compile_case(case: Case, target: str):
    """Compiles as a launch with 16-byte aligned pointers and 32-bit sizes does."""
    constants = {
        "BLOCK": BLOCK,
        "PER": 1 if BYTES[case.result] == 4 or case.constants.get("CHANNELS") else 2,
        "NOISE": 2,
        "OWN_SEED": False,
        "ALIGNED": True,
        "CHANNELS": 0,
        "WIDTH": 0,
        "APPROX": target.startswith("sm_"),
        "timestep_stride": 1,
        "position_stride": 1,
    } | case.constants
    absent = {
        "N": constants["NOISE"] != 1,
        "SEEDS": constants["NOISE"] != 2,
        "FLIP": not constants["WIDTH"],
        "OUT_TERMINAL": "TERMINAL" not in constants,
    }
    absent["N_T"] = absent["N_TP1"] = absent["N"]
    kernel = getattr(triton_kernels, case.kernel)
    signature, known, attributes = {}, {}, {}
    for position, name in enumerate(kernel.arg_names):
        if name in constants or absent.get(name):
            signature[name], known[name] = "constexpr", constants.get(name)
        elif name in ("D", "num_steps"):
            signature[name] = "i32"
        elif name in ("m", "s"):
            signature[name] = "fp32"
        else:
            signature[name] = "*" + _pointee(name, case)
        if signature[name].startswith("*") or (name == "D" and constants["ALIGNED"]):
            attributes[(position,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=signature, constexprs=known, attrs=attributes)
    return triton.compile(source, target=_gpu(target), options={"num_warps": NUM_WARPS})


def _pointee(name, case):
    if name in ("SEEDS", "TIMESTEPS"):
        return "i64"
    if name == "FLIP":
        return "i1"
    if name in ("X_0", "X_TP1", "N", "N_T", "N_TP1"):
        return case.sample if case.sample != "u8" or name == "X_0" else case.result
    return case.result if name.startswith(("OUT", "G")) else "fp32"


def _gpu(target):
    return GPUTarget("cuda", int(target[3:]), 32) if target.startswith("sm_") else GPUTarget("hip", target, 64)


# Reading the machine code.


def read_cuda(binary: bytes) -> dict:
    """
    Resources and instructions of a cubin.

    Args:
        binary (`bytes`):
            The cubin.

    Returns:
        `dict`: Registers, bytes of stack, local and shared memory, and the count of each opcode.

    Raises:
        ValueError: If the code has a loop. Its length would then not tell what is executed.
    """
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        usage = _output([tools / "cuobjdump", "--dump-resource-usage", file.name])
        code = _output([tools / "nvdisasm", "--print-code", "--no-dataflow", file.name])
    resources = {key: int(value) for key, value in re.findall(r"\b(REG|STACK|SHARED|LOCAL):(\d+)", usage)}
    lines = re.findall(r"^\s+/\*([0-9a-f]+)\*/\s+(.*?)\s*;", code, re.MULTILINE)
    instructions = [re.sub(r"^@!?U?P\w+\s+", "", text) for _, text in lines]
    opcodes = [text.split()[0] for text in instructions]
    end = max(place for place, opcode in enumerate(opcodes) if opcode == "EXIT") + 1
    # After the last exit come a jump to itself and padding.
    if any(opcode in ("BRA", "BRX", "JMP", "CALL", "WARPSYNC") for opcode in opcodes[:end]):
        raise ValueError("`binary` must be straight-line code, got a jump or a call.")
    return {
        "registers": resources["REG"],
        "stack": resources["STACK"],
        "local": resources["LOCAL"],
        "shared": resources["SHARED"],
        "opcodes": dict(Counter(opcodes[:end])),
    }


def read_hip(assembly: str) -> dict:
    """
    Resources and instructions of AMD assembly. Scratch memory counts as stack, spills count as local memory.

    This code branches around masked stores, so a full block may execute a few instructions less than are counted.

    Args:
        assembly (`str`):
            The assembly.

    Returns:
        `dict`: The same entries as those of [`read_cuda`].
    """

    def entry(key):
        return int(re.search(rf"\.{key}:\s+(\d+)", assembly)[1])

    body = assembly[: assembly.index(".Lfunc_end0:")]
    opcodes = re.findall(r"^\t([vs]_\w+|global_\w+|buffer_\w+|ds_\w+|scratch_\w+|flat_\w+)", body, re.MULTILINE)
    return {
        "registers": entry("vgpr_count"),
        "stack": entry("private_segment_fixed_size"),
        "local": entry("vgpr_spill_count") + entry("sgpr_spill_count"),
        "shared": entry("group_segment_fixed_size"),
        "opcodes": dict(Counter(opcodes)),
    }


def _output(command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


NVIDIA_PIPES = (
    ("special", r"MUFU|I2F(?!P)|F2I|POPC|FRND"),
    ("memory", r"LDG|STG|LDS|STS|LDL|STL|LDC|LDSM"),
    ("uniform", r"U[A-Z]|R2UR|S2UR|CS2R|S2R|LDCU"),
    ("float", r"FFMA|FMUL|FADD|HFMA2|HADD2|HMUL2|FFMA2|FMUL2|FADD2"),
    # Half the rate of a floating-point instruction, like the integer pipe proper.
    ("integer", r"IMAD|IADD|LOP3|SHF|LEA|ISETP|SEL|PRMT|I2FP|F2FP|VIADD|IABS|MOV|FSEL|FSETP|PLOP3|FMNMX|IMNMX|LOP"),
)
AMD_PIPES = (
    ("special", r"v_(log|sqrt|rsq|rcp|sin|cos|exp)_"),
    ("memory", r"global_|buffer_|ds_|scratch_|flat_|s_load|s_buffer"),
    ("uniform", r"s_"),
    ("float", r"v_(pk_)?(fma|fmac|mul|add|sub|mad|fmaak|fmamk)_f"),
    ("integer", r"v_"),
)


def pipe_of(opcode: str) -> str:
    """The pipe of an instruction: float, integer, special, memory, uniform, or other (barriers, exits)."""
    pipes = AMD_PIPES if "_" in opcode else NVIDIA_PIPES
    return next((pipe for pipe, pattern in pipes if re.match(pattern, opcode)), "other")


def analyse(case: Case, target: str) -> dict:
    """All facts of the report about one kernel on one target."""
    compiled = compile_case(case, target)
    is_cuda = target.startswith("sm_")
    facts = read_cuda(compiled.asm["cubin"]) if is_cuda else read_hip(compiled.asm["amdgcn"])
    per_thread = BLOCK / (NUM_WARPS * (32 if is_cuda else 64))
    pipes = Counter()
    for opcode, count in facts["opcodes"].items():
        pipes[pipe_of(opcode)] += count
    per_element = {pipe: count / per_thread for pipe, count in pipes.items()}
    per_element["issue"] = sum(pipes.values()) / per_thread
    card = CARDS[target]
    seconds = {
        pipe: per_element.get(pipe, 0.0) / (lanes * card.multiprocessors * card.hertz)
        for pipe, lanes in card.lanes.items()
    }
    on_memory = case.bytes_per_element / card.bytes_per_second
    slowest = max(seconds, key=seconds.get)
    return facts | {
        "case": asdict(case) | {"name": case.name},
        "target": target,
        "is_main": case in main_cases(),
        "moved_bytes_per_element": _sample_bytes(case, facts["opcodes"]) / per_thread if is_cuda else None,
        "instructions_per_element": per_element,
        "bound": "memory" if on_memory >= seconds[slowest] else slowest,
        "bandwidth_fraction": min(1.0, on_memory / seconds[slowest]),
    }


def _sample_bytes(case, opcodes):
    """Bytes of samples that a thread of a CUDA kernel moves: all its bytes except those of the coefficients."""
    total = 0
    for opcode, count in opcodes.items():
        match = re.match(r"(LDG|STG)\.E(?:\.(U8|U16|64|128))?$", opcode)
        if match:
            total += count * {"U8": 1, "U16": 2, "64": 8, "128": 16, None: 4}[match[2]]
    mode = case.constants.get("NOISE", 2)
    coefficients = {"TIMESTEPS": 8, "POSITIONS": 4, "A": 4, "A_CUM": 4, "C_0": 4, "C_TP1": 4}
    coefficients |= dict.fromkeys(("S", "S_CUM", "STD"), 4 if mode else 0)
    coefficients |= {"SEEDS": 8 if mode == 2 else 0, "FLIP": 1 if "WIDTH" in case.constants else 0}
    return total - sum(coefficients.get(name, 0) for name in getattr(triton_kernels, case.kernel).arg_names)


def analyse_all(cases: list[Case], targets: list[str], jobs: int) -> list[dict]:
    """Analyses cases times targets in `jobs` processes."""
    pairs = [(case, target) for target in targets for case in cases]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(analyse, *zip(*pairs, strict=True), chunksize=4))


def markdown(facts: list[dict]) -> str:
    """The report as a Markdown table."""
    lines = [
        "| kernel | target | registers | B/element | instructions/element "
        "| integer | float | special | bound | bandwidth |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for fact in facts:
        counts = fact["instructions_per_element"]
        numbers = " | ".join(f"{counts.get(pipe, 0.0):.1f}" for pipe in ("issue", "integer", "float", "special"))
        lines.append(
            f"| {fact['case']['name']} | {fact['target']} | {fact['registers']} | {fact['case']['bytes_per_element']} "
            f"| {numbers} | {fact['bound']} | {fact['bandwidth_fraction']:.0%} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="+", choices=CARDS, default=["sm_90"], help="machines to compile for")
    parser.add_argument("--json", type=Path, help="write all numbers of all targets here instead of printing a table")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that compile")
    arguments = parser.parse_args()
    if arguments.json:
        facts = analyse_all(main_cases(), list(CARDS), arguments.jobs)
        facts += analyse_all(other_cases(), ["sm_90", "gfx942"], arguments.jobs)
        arguments.json.write_text(json.dumps(facts))
    else:
        print(markdown(analyse_all(main_cases() + other_cases(), arguments.targets, arguments.jobs)))


if __name__ == "__main__":
    main()
