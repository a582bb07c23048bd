"""Imports go one way, and every room touches only what it may: read from the sources, nothing is run."""

from __future__ import annotations

import ast
import functools
import graphlib
from pathlib import Path

import pytest

import barelm
from barelm.contract import layout
from barelm.contract.regions import Workspace

PACKAGE = Path(barelm.__file__).parent
SOURCES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# What a room of the dialect may import of the package, beside itself; the others may import anything but METAL.
MAY_IMPORT = {
    "dialect": ("barelm.dialect",),
    "contract": ("barelm.dialect", "barelm.contract"),
    "kernels": ("barelm.dialect", "barelm.kernels", "barelm.contract"),
    "metal": ("barelm.dialect", "barelm.kernels", "barelm.metal", "barelm.contract"),
}
IMPORTERS_OF_METAL = ("aot", "metal")
COMPILERS = ("numba", "llvmlite")
USERS_OF_COMPILERS = ("aot/", "dialect/lowering/")
KERNELS_MAY_USE = {"__future__", "typing", "numpy"}
METAL_MAY_USE = KERNELS_MAY_USE
CALLERS = "metal/uefi/"
CASTS = {"f32", "f64", "float"}
OF_ONE_PROCESSOR = {"cpuid", "enable_xsave", "read_msr", "read_xcr0", "write_msr", "write_xcr0"}

# The rooms of metal from the ground up; one imports of those beside and below it only.
FLOORS = (
    ("metal.uefi",), ("metal.arena",), ("metal.processors",), ("metal.console",), ("metal.keys",), ("metal.storage",),
    ("metal.measuring",), ("metal.trust",), ("metal.network",), ("metal.conversation",), ("metal.serving",),
    ("metal.main",))


@functools.cache
def tree(name: str) -> ast.Module:
    """A source, parsed."""
    return ast.parse((PACKAGE / name).read_text())


def room(name: str) -> str:
    """The folder a source is in, or the source itself at the top."""
    return name.split("/")[0]


def imports(name: str) -> set[str]:
    """Every module a source imports anywhere, `from a import b` as a.b where b is a module and a where it is not."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute here"
            found |= {_module(str(node.module), alias.name) for alias in node.names}
    return found


def _module(package: str, name: str) -> str:
    inside = PACKAGE.parent / package.replace(".", "/") / name
    return f"{package}.{name}" if inside.is_dir() or inside.with_suffix(".py").is_file() else package


def within(module: str, packages: tuple[str, ...]) -> bool:
    """Whether a module is one of the packages or inside one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) in MAY_IMPORT])
def test_rooms_of_the_dialect_import_only_downwards(name: str) -> None:
    ours = {module for module in imports(name) if within(module, ("barelm",))}
    assert {module for module in ours if not within(module, MAY_IMPORT[room(name)])} == set()


def floor_of(module: str) -> int:
    """The number of the floor a module of metal is on."""
    found = [number for number, floor in enumerate(FLOORS) if within(module, floor)]
    assert len(found) == 1, f"{module} is on no floor of metal, or on several"
    return found[0]


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) == "metal" and name != "metal/__init__.py"])
def test_the_floors_of_metal_rest_on_those_below(name: str) -> None:
    own = floor_of(module_of(name).removeprefix("barelm."))
    theirs = {module.removeprefix("barelm.") for module in imports(name) if within(module, ("barelm.metal",))}
    assert {module for module in theirs if floor_of(module) > own} == set()


def module_of(name: str) -> str:
    """What a source is imported as."""
    return "barelm." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_nobody_imports_in_a_circle() -> None:
    """Not inside a function either, where it would only come later."""
    needs = {module_of(name): imports(name) for name in SOURCES}
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])), pytrace=False)


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) != "dialect"])
def test_only_lowerings_know_one_processor(name: str) -> None:
    assert not calls(name) & OF_ONE_PROCESSOR


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) not in IMPORTERS_OF_METAL])
def test_only_the_compiler_imports_metal(name: str) -> None:
    assert {module for module in imports(name) if within(module, ("barelm.metal",))} == set()


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.startswith(USERS_OF_COMPILERS)])
def test_only_lowerings_and_aot_know_numba(name: str) -> None:
    assert {module for module in imports(name) if within(module, COMPILERS)} == set()


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) == "kernels"])
def test_kernels_touch_nothing_but_numbers(name: str) -> None:
    foreign = {module.split(".")[0] for module in imports(name)} - {"barelm"}
    assert foreign <= KERNELS_MAY_USE
    assert {called for called in calls(name) if called in ("print", "open", "input", "exec", "eval")} == set()


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) == "metal"])
def test_metal_imports_nothing_of_an_operating_system(name: str) -> None:
    assert {module.split(".")[0] for module in imports(name)} - {"barelm"} <= METAL_MAY_USE


def calls(name: str) -> set[str]:
    """The plain names a source calls."""
    return {node.func.id for node in ast.walk(tree(name))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) == "metal" and not name.startswith(CALLERS)])
def test_only_one_room_calls_the_firmware(name: str) -> None:
    assert not calls(name) & {"call_efi"}


def test_every_region_of_the_workspace_has_its_place_and_its_owner() -> None:
    end = 0
    for region in Workspace.FIELDS.values():
        assert region.offset >= end, region.name
        end = region.offset + region.n_bytes
        owner = f"{str(region.note).replace('.', '/')}.py"
        assert owner in SOURCES, f"{region.name}: {owner}"
    assert Workspace.BYTES <= layout.WORKSPACE


def strangers(source: ast.Module, module: str) -> list[str]:
    """What a source says of regions it does not own: their names, or how to get around these."""
    found = []
    for node in ast.walk(source):
        if isinstance(node, ast.Attribute) and _is_workspace(node.value) and node.attr in Workspace.FIELDS:
            if Workspace.FIELDS[node.attr].note != module:
                found.append(f"{node.lineno}: {node.attr}")
        elif isinstance(node, ast.Attribute) and _is_workspace(node.value) and module != "metal.arena":
            found.append(f"{node.lineno}: {node.attr}")
        elif isinstance(node, ast.Assign) and _is_workspace(node.value) and not _is_workspace(node.targets[0]):
            found.append(f"{node.lineno}: under another name")
        elif isinstance(node, ast.arg | ast.AnnAssign) and _name_of(node.annotation) == "Workspace":
            name = node.arg if isinstance(node, ast.arg) else _name_of(node.target)
            found += [] if name == "workspace" else [f"{node.lineno}: {name}"]
    return found


def _name_of(node: ast.AST | None) -> str:
    """The last name of `a`, `b.a` or `a(...)`."""
    called = node.func if isinstance(node, ast.Call) else node
    return str(getattr(called, "id", getattr(called, "attr", "")))


def _is_workspace(node: ast.AST) -> bool:
    return _name_of(node) in ("workspace", "Workspace")


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) == "metal"])
def test_a_region_is_named_by_its_owner_alone(name: str) -> None:
    assert strangers(tree(name), module_of(name).removeprefix("barelm.")) == []


@pytest.mark.parametrize("line", [
    "t.workspace.header", "workspace.header", "Workspace(address).header", "workspace.address + 8",
    "Workspace.offset_of('header')", "w = workspace", "def f(w: Workspace): pass", "w: Workspace"])
def test_a_stranger_in_the_workspace_is_noticed(line: str) -> None:
    assert strangers(ast.parse(line), "metal.keys.layouts")
    assert not strangers(ast.parse("workspace.header.dim; other.header"), "metal.storage.model_loader")


def test_metal_tables_are_data_only() -> None:
    functions = [node.name for node in tree("contract/uefi.py").body if isinstance(node, ast.FunctionDef)]
    assert functions == ["_guid"]


def naked_floats(source: ast.Module) -> list[int]:
    """Lines with a float that is not the argument of a cast; the name of a constant counts where it is used."""
    constants = {target.id: node.value for node in source.body if isinstance(node, ast.Assign) and _is_float(node.value)
                 for target in node.targets if isinstance(target, ast.Name)}
    dressed = {id(inner) for node in ast.walk(source)
               if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CASTS
               for argument in node.args for inner in ast.walk(argument)}
    dressed |= {id(inner) for value in constants.values() for inner in ast.walk(value)}
    return [node.lineno for node in ast.walk(source) if isinstance(node, ast.expr) and id(node) not in dressed and (
        _is_float(node) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in constants))]


def _is_float(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) == "kernels"])
def test_kernels_have_no_float_without_a_width(name: str) -> None:
    assert naked_floats(tree(name)) == []


def test_a_naked_float_is_noticed() -> None:
    source = "EPS = 0.5\ndef f(x):\n    y = x * 2.0\n    z = f32(-3.0) + f32(EPS)\n    return y + EPS\n"
    assert sorted(naked_floats(ast.parse(source))) == [3, 5]


def dialect_functions() -> list[tuple[str, ast.FunctionDef]]:
    """Every function of kernels and metal."""
    return [(name, node) for name in SOURCES if room(name) in ("kernels", "metal") for node in ast.walk(tree(name))
            if isinstance(node, ast.FunctionDef)]


def test_every_function_of_the_dialect_says_what_it_does() -> None:
    silent = [f"{name}:{node.lineno} {node.name}" for name, node in dialect_functions() if not ast.get_docstring(node)]
    assert len(dialect_functions()) > 100 and silent == []


def test_no_function_of_the_dialect_has_defaults_it_could_hide_behind() -> None:
    hidden = [f"{name}:{node.lineno} {node.name}" for name, node in dialect_functions()
              if node.args.defaults or node.args.kw_defaults]
    assert hidden == []
