"""Numba's IR to COFF objects: one for the boot story at the baseline, one engine for every CPU level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from numba.core import types

from barelm.aot import runtime
from barelm.aot.target import BASELINE, TRIPLE, lower
from barelm.dialect.lowering.install import install
from barelm.dialect.processor import LEVELS


@dataclass(frozen=True)
class CpuLevel:
    """How LLVM is to compile an engine."""

    cpu: str
    features: str = ""
    small: bool = False  # optimise for size


CPU_LEVELS = {
    "v2": CpuLevel("x86-64-v2"),
    "v3": CpuLevel("x86-64-v3"),
}

STORY = CpuLevel(BASELINE, small=True)
"""The boot story waits for firmware and disks: it is compiled to be small."""


@dataclass(frozen=True)
class Program:
    """The metal functions a program starts from."""

    main: Any  # (image handle, system table) -> status
    report: Any  # (image handle, system table, failure) -> status
    worker: Any  # (board) -> status
    engine: Any  # (job, core) -> status


def compile_program(program: Program) -> dict[str, bytes]:
    """COFF objects by name: `main` and one per CPU level."""
    install()
    word = types.int64
    main, main_name = lower(program.main, (word, word))
    report, report_name = lower(program.report, (word, word, word))
    worker, worker_name = lower(program.worker, (word,))
    entry = (runtime.ENTRY.replace("MAIN", main_name).replace("REPORT", report_name).replace("WORKER", worker_name))
    objects = {"main": emit([main, report, worker, runtime.RUNTIME, entry], runtime.KEPT, STORY)}
    engine, engine_name = lower(program.engine, (word, word))
    for level in LEVELS:
        stub = runtime.ENGINE.replace("ENTRY", engine_name).replace("LEVEL", level)
        objects[level] = emit([engine, stub], (f"barelm_engine_{level}",), CPU_LEVELS[level])
    return objects


def emit(modules: list[str], kept: tuple[str, ...], level: CpuLevel) -> bytes:
    """Link modules, optimise the whole for a CPU level, and emit COFF; only `kept` stays visible."""
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu=level.cpu, features=level.features, opt=3, reloc="pic", codemodel="small")
    whole = llvm.parse_assembly("")
    whole.triple, whole.data_layout = TRIPLE, str(machine.target_data)
    for text in modules:
        whole.link_in(_mergeable(text))
    for value in (*whole.functions, *whole.global_variables):
        if not value.is_declaration and value.name not in kept:
            value.linkage = "internal"
    _optimise(whole, machine, level.small)
    whole.verify()
    return bytes(machine.emit_object(whole))


def _mergeable(text: str) -> Any:
    """A module whose functions may be defined by another one too: the same source gives the same function."""
    module = llvm.parse_assembly(text)
    for function in module.functions:
        if not function.is_declaration and function.name.startswith("_Z"):
            function.linkage = "weak_odr"
    for variable in module.global_variables:
        if variable.name.startswith("_ZN08NumbaEnv"):
            variable.linkage = "weak_odr"
    return module


def _optimise(module: Any, machine: Any, small: bool) -> None:
    tuning = llvm.create_pipeline_tuning_options(speed_level=2 if small else 3)
    tuning.loop_vectorization = tuning.slp_vectorization = not small
    tuning.loop_interleaving = tuning.loop_unrolling = not small
    for function in module.functions:
        if small and not function.is_declaration:
            function.add_function_attribute("minsize")
            function.add_function_attribute("optsize")
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
