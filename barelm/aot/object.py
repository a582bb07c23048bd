"""Numba's IR to COFF objects: the boot story at the baseline, and the engine once for every CPU level.

    python -m barelm.aot.object story|engine FOLDER [checked]

writes the objects of one part into a folder.  `build` runs both parts at once, each in a process of its own.
"""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba.core import types

from barelm.aot import runtime, symbols
from barelm.aot.branches import NODE, Branch
from barelm.aot.target import MetalDispatcher, lower
from barelm.child_python import end_with_parent
from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.emit import check_accesses
from barelm.dialect.lowering.family import Level
from barelm.dialect.lowering.install import install
from barelm.dialect.lowering.levels import level_module
from barelm.dialect.lowering.processor import ENGINE
from barelm.errors import BarelmError

YIELDING = 5
"""Where there are few cores the engine gives way to the story, which with its branch takes longest."""

_WORD = types.int64

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()


def compile_story(main: Any, report: Any, worker: Any, branch: Branch | None = None) -> dict[str, bytes]:
    """The object "story", entry points included: it waits for firmware and disks, and is compiled to be small.

    `main` takes (image handle, system table), `report` these two and a failure, `worker` the board; all return a
    status.  What a `branch` makes is for its own process to deliver, and there when this returns.
    """
    install()
    MetalDispatcher.branch = branch
    main_ir, main_name = lower(main, (_WORD, _WORD))
    report_ir, report_name = lower(report, (_WORD, _WORD, _WORD))
    worker_ir, worker_name = lower(worker, (_WORD,))
    entry = runtime.ENTRY.replace("MAIN", main_name).replace("REPORT", report_name).replace("WORKER", worker_name)
    whole = linked([*main_ir, *report_ir, *worker_ir, runtime.RUNTIME, entry])
    if branch is None:
        return {"story": emit(whole, runtime.KEPT, FAMILY.baseline, small=True)}
    story = emit(whole, (*runtime.KEPT, *branch.needs()), FAMILY.baseline, small=True, others=(branch.symbol,))
    branch.join()
    return {"story": story}


def node_branch(function: Any, folder: Path) -> Branch:
    """The branch of a node that serves; its object is written to a folder."""
    def deliver(texts: list[str], name: str, tell: Callable[[list[str]], None]) -> None:
        whole = linked(texts)
        left = tuple(one.name for one in whole.functions if one.is_declaration and not one.name.startswith("llvm."))
        tell(list(left))
        whole.get_function(name).name = NODE
        (folder / "node.obj").write_bytes(emit(whole, (NODE,), FAMILY.baseline, small=True, others=left))
    return Branch(function, NODE, deliver)


def compile_engine(engine: Any) -> dict[str, bytes]:
    """An object for each of the family's levels, by name: `engine`, which takes (job, core) and returns a token.

    What does not depend on the level is done once: functions are merged into one another and simplified.
    """
    install()
    engine_ir, engine_name = lower(engine, (_WORD, _WORD))
    common = linked(engine_ir)
    _optimise(common, _set_for(common, (engine_name,), FAMILY.baseline), speed_level=1, vectorize=False)
    simplified = common.as_bitcode()
    objects = {}
    for level in FAMILY.levels:
        whole = llvm.parse_bitcode(simplified)
        whole.link_in(_mergeable(runtime.ENGINE.replace("ENTRY", engine_name).replace("LEVEL", level.name)))
        whole.link_in(_mergeable(level_module(level.name)))
        objects[level.name] = emit(whole, (ENGINE + level.name,), level)
    return objects


def emit(whole: Any, kept: tuple[str, ...], level: Level, *, small: bool = False,
         others: tuple[str, ...] = ()) -> bytes:
    """Optimise a module for a CPU level, and emit COFF; only `kept` stays visible, and `others` are somewhere else.

    It is optimised for speed, or to be small.

    Raises BarelmError where the result needs a symbol that nobody provides or holds a pointer of this process.
    """
    machine = _set_for(whole, kept, level)
    if small:
        for function in whole.functions:
            if not function.is_declaration:
                function.add_function_attribute("minsize")
                function.add_function_attribute("optsize")
    _optimise(whole, machine, speed_level=2, vectorize=not small)
    whole.verify()
    symbols.check_module(str(whole), others)
    content = bytes(machine.emit_object(whole))
    symbols.check_object(content, others)
    return content


def _set_for(whole: Any, kept: tuple[str, ...], level: Level) -> Any:
    """Make a module one for a CPU level, of which only `kept` is visible; returns the machine of that level."""
    machine = llvm.Target.from_triple(FAMILY.triple).create_target_machine(
        cpu=level.cpu, features=level.features, opt=3, reloc="pic", codemodel="small")
    whole.triple, whole.data_layout = FAMILY.triple, str(machine.target_data)
    for value in (*whole.functions, *whole.global_variables):
        if value.linkage == llvm.Linkage.common:
            continue  # the linker makes one of all objects' that are called so
        if not value.is_declaration and value.name not in kept:
            value.linkage = "internal"
        elif not value.is_declaration:
            value.linkage = "external"
    return machine


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


def linked(texts: list[str]) -> Any:
    """One module of many, linked in pairs, then pairs of pairs: one growing module would be gone over every time."""
    modules = [_mergeable(text) for text in texts]
    while len(modules) > 1:
        for first, second in zip(modules[0::2], modules[1::2]):
            first.link_in(second)
        modules = modules[0::2]
    return modules[0]


def _optimise(module: Any, machine: Any, *, speed_level: int, vectorize: bool) -> None:
    tuning = llvm.create_pipeline_tuning_options(speed_level=speed_level)
    tuning.loop_vectorization = tuning.slp_vectorization = vectorize
    tuning.loop_interleaving = tuning.loop_unrolling = False  # no faster where loops are vectors, and a third larger
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)


def compile_part(part: str, folder: Path) -> dict[str, bytes]:
    """The objects of "story" or "engine", from the functions of `barelm.metal`; the node's is in the folder then."""
    if part == "story":
        from barelm.metal.main import efi_main, report_failure
        from barelm.metal.processors.cores import worker
        from barelm.metal.serving.node import serve
        return compile_story(efi_main, report_failure, worker, node_branch(serve, folder))
    from barelm.metal.processors.engine import engine
    return compile_engine(engine)


def main(arguments: list[str]) -> int:
    """Compile one part into a folder; a failure ends as its message and hint on stderr, in two lines."""
    part, folder, *how = arguments
    if how == ["checked"]:
        check_accesses()
    end_with_parent()
    if part == "engine":
        os.nice(YIELDING)
    gc.disable()  # the compiler makes a million small objects and the process is short: a tenth of the time
    try:
        for name, content in compile_part(part, Path(folder)).items():
            (Path(folder) / f"{name}.obj").write_bytes(content)
    except BarelmError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
