"""A processor family is a folder and a row: what a folder has to have, and that nothing of it is anywhere else."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import barelm
from barelm.dialect import processor
from barelm.dialect.lowering import FAMILIES, FAMILY
from barelm.dialect.lowering.family import Family
from barelm.dialect.lowering.forms import SIGNATURES
from tests.dialect.aarch64 import AARCH64

PACKAGE = Path(barelm.__file__).parent
REPOSITORY = PACKAGE.parent
ROOMS = ("aot", "contract", "dialect", "kernels", "metal")
MAY_NAME_THEM = ("dialect/lowering/__init__.py", "aot/pe.py")
"""The table, and who says what a program found somewhere is for."""
OF_ONE_FAMILY = re.compile(r"x86|cpuid|xcr0|mxcsr|rdtsc|\b(sse|avx)|neon|aarch64", re.IGNORECASE)

every_family = pytest.mark.parametrize("family", [*FAMILIES, AARCH64], ids=lambda family: family.name)

ARM = """
import barelm.dialect.lowering as lowering
from tests.dialect.aarch64 import AARCH64
lowering.FAMILIES += (AARCH64,)
lowering.FAMILY = AARCH64

from barelm.aot.linking.link import link
from barelm.aot.object import compile_engine, compile_story
from barelm.aot.pe import check_program, read_program
from barelm.contract.settings import SettingsView
from barelm.contract.console_state import ConsoleState
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import *
from barelm.dialect.rooms import metal
from barelm.dialect.sentences import sentence
from barelm.metal.console.sinks import CONSOLE_WORDS, flush, plain_console
from barelm.metal.console.writing import put
from barelm.metal.main import find_level, report_failure
from barelm.metal.processors.cores import worker
from barelm.metal.processors.engine import engine
from barelm.metal.uefi.boot_services import open_firmware
from barelm.metal.uefi.text_output import output_string

@metal
def main(image: int, table: int) -> int:
    level = find_level(SettingsView(table))
    enable_vectors(level)
    words = cells(8)
    cpu_name(words)
    cpu_vendor(words[6:])
    fw = open_firmware(image, table)
    state = cells(CONSOLE_WORDS)
    con = plain_console(fw, ConsoleState(address_of(state)))
    for word in words:
        put(con, sentence("{}", (word,)))
    put(con, sentence("{}", (cpu_signature()[0] + cpu_features(),)))
    flush(con)
    output_string(fw, feature_name(0))
    output_string(fw, level_name(level))
    return cycles()

program = link({**compile_story(main, report_failure, worker), **compile_engine(engine)})
check_program(program)
print(read_program(program).machine)
"""


def asked() -> list[str]:
    """What `lowering.processor` asks of a family."""
    source = ast.parse((PACKAGE / "dialect/lowering/processor.py").read_text())
    calls = [node.value for node in source.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return [ast.unparse(call.args[0]).removeprefix("processor.") for call in calls
            if ast.unparse(call.func) == "_of_family"]


@every_family
def test_a_folder_has_what_is_asked_of_it(family: Family) -> None:
    primitives = family.module("primitives")
    assert len(asked()) == 12
    for name in asked():
        model, function = (inspect.signature(getattr(room, name), eval_str=True) for room in (processor, primitives))
        assert list(model.parameters) == list(function.parameters), name
        assert model.return_annotation == function.return_annotation, name


@every_family
def test_each_level_has_a_column_of_forms(family: Family) -> None:
    forms = family.module("vector_forms").FORMS
    assert list(forms) == [level.name for level in family.levels]
    assert all(set(column) == set(SIGNATURES) for column in forms.values())


def test_names_of_the_levels() -> None:
    assert FAMILY.level_names() == ("x86-64-v2", "x86-64-v3", "x86-64-v3n", "x86-64-v4")
    assert len({family.pe_machine for family in FAMILIES}) == len(FAMILIES)


def without_docstrings(path: Path) -> str:
    """A source as code alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not (  # type: ignore[attr-defined]
                isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
    return ast.unparse(tree)


@pytest.mark.parametrize("path", [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))],
                         ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_of_one_family_is_outside_its_folder(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    if name not in MAY_NAME_THEM and not any(name.startswith(family.package.removeprefix("barelm.").replace(".", "/"))
                                 for family in FAMILIES):
        assert OF_ONE_FAMILY.findall(without_docstrings(path)) == []


def test_a_folder_and_a_row_are_a_program() -> None:
    done = subprocess.run([sys.executable, "-c", ARM], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("AArch64", 0), done.stderr
