# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Every kernel compiled for GPUs that are not there, and what their machine code must be like."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


pytest.importorskip("triton")

REPORT = Path(__file__).parents[3] / "benchmarks" / "kernel_report.py"
CUDA = ["sm_80", "sm_90", "sm_100"]
TARGETS = [*CUDA, "gfx942"]
FLOORS = {  # bytes per element: every sample read once, every result written once
    "noise fp32": 8,
    "noise bf16": 4,
    "noise u8->bf16": 3,
    "noise_pair fp32": 12,
    "posterior_step fp32": 12,
    "straight_path fp32": 8,
}
# Instructions per element on an H100; the pair draws two numbers per element and has the room for them.
CEILINGS = {
    "noise fp32": 50,
    "posterior_step fp32": 50,
    "straight_path fp32": 50,
    "noise bf16": 38,
    "posterior_step bf16": 38,
    "straight_path bf16": 38,
    "noise_pair fp32": 100,
    "noise_pair bf16": 57,
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    # A process of its own: in this one the kernels are interpreted.
    path = tmp_path_factory.mktemp("report") / "report.json"
    subprocess.run([sys.executable, str(REPORT), "--json", str(path)], check=True)
    return json.loads(path.read_text())


def main_path(report, *targets):
    facts = [fact for fact in report if fact["is_main"] and fact["target"] in targets]
    assert facts
    return facts


def find(report, name, target):
    (fact,) = [fact for fact in main_path(report, target) if fact["case"]["name"] == name]
    return fact


def label(fact):
    return f"{fact['case']['name']} for {fact['target']}"


def test_every_operation_dtype_and_target_compiles(report):
    compiled = {
        (fact["target"], fact["case"]["operation"], fact["case"]["sample"]) for fact in main_path(report, *TARGETS)
    }
    for target in TARGETS:
        for operation in ("noise", "noise_pair", "posterior_step", "straight_path", "straight_path and terminal"):
            for dtype in ("fp32", "fp16", "bf16"):
                assert {(target, operation, dtype), (target, f"{operation} backward", dtype)} <= compiled
            assert ((target, operation, "u8") in compiled) == (operation != "posterior_step")


def test_nothing_is_spilled(report):
    for fact in report:
        assert (fact["stack"], fact["local"]) == (0, 0), label(fact)
        spills = [opcode for opcode in fact["opcodes"] if opcode.startswith(("LDL", "STL", "scratch_"))]
        assert not spills, label(fact)


def test_main_path_stays_in_registers(report):
    for fact in main_path(report, *TARGETS):
        assert fact["shared"] == 0, label(fact)
        assert fact["registers"] <= 80, label(fact)


def test_samples_are_moved_128_bits_at_a_time(report):
    for fact in main_path(report, *CUDA):
        stores = {opcode for opcode in fact["opcodes"] if opcode.startswith("STG")}
        assert stores == {"STG.E.128"}, label(fact)
        # Pixels are read in what one store of the result consumes: wider loads would leave gaps between the stores.
        sample, result = fact["case"]["sample"], fact["case"]["result"]
        width = {"u8->fp32": "LDG.E", "u8->bf16": "LDG.E.64", "u8->fp16": "LDG.E.64"}.get(
            f"{sample}->{result}", "LDG.E.128"
        )
        assert fact["opcodes"].get(width, 0) >= 1, label(fact)
    for fact in main_path(report, "gfx942"):
        stores = {opcode for opcode in fact["opcodes"] if "_store_" in opcode}
        assert stores == {"buffer_store_dwordx4"}, label(fact)


def test_nothing_is_moved_twice(report):
    for fact in main_path(report, *CUDA):
        assert fact["moved_bytes_per_element"] == fact["case"]["bytes_per_element"], label(fact)
    for target in CUDA:
        for name, floor in FLOORS.items():
            assert find(report, name, target)["moved_bytes_per_element"] == floor, f"{name} for {target}"


def test_instruction_budget(report):
    for name, ceiling in CEILINGS.items():
        fact = find(report, name, "sm_90")
        assert fact["instructions_per_element"]["issue"] <= ceiling, name


def test_float_kernels_are_bound_by_memory_on_an_h100(report):
    for fact in main_path(report, "sm_90"):
        if fact["case"]["sample"] != "u8":
            assert fact["bound"] == "memory", label(fact)
        assert fact["bandwidth_fraction"] >= 0.85, label(fact)
