"""What of Numba's private surface is used, so that a new Numba says here what it changed."""

from __future__ import annotations

import importlib.metadata
import inspect
import operator
import re
import tomllib
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba import types
from numba.core import codegen
from numba.core.runtime.context import NRTContext
from numba.core.target_extension import dispatcher_registry, jit_registry

from barelm.aot import convention, large_tuples, passes, target
from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.install import install
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8

CLASSES = (target.MetalLibrary, target.MetalCodegen, target.Uncounted, target.MetalContext, target.MetalTarget,
           target.MetalDispatcher, convention.MetalCallConv, convention.MetalArray, passes.MetalTyping,
           passes.MetalPasses, passes.MetalLower, passes.MetalCompiler, passes.Canonical, passes.Rewrites,
           passes.Assignments, passes.Joins, passes.MetalLowering, large_tuples.MetalTuple)
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

# What Numba's classes get from their instances or from nowhere: not overrides.
OWN = {"_lowering", "_typing", "targetdescr", "_operate", "age", "branch", "put_together", "field_of", "forget"}
# Attributes set on instances, so that classes do not show them.
OF_INSTANCES = {"_tm", "_tm_features", "_target_data", "_data_layout", "_loopvect", "_opt_level", "options"}


def overrides(ours: type) -> list[str]:
    """Everything a class of the target defines, but for what Python adds by itself."""
    by_python = {"__module__", "__doc__", "__firstlineno__", "__static_attributes__", "__annotations__",
                 "__abstractmethods__", "_abc_impl", "__classdictcell__", "__parameters__"}
    return [name for name in vars(ours) if name not in by_python | OWN | OF_INSTANCES]


def test_numba_is_the_version_the_target_was_written_against() -> None:
    assert numba.__version__.startswith(target.NUMBA_VERSION + "."), (
        f"barelm.aot.target was written against Numba {target.NUMBA_VERSION}: read its release notes, run this file, "
        "then change NUMBA_VERSION and the pin in pyproject.toml")


def test_the_pin_is_in_the_package() -> None:
    pins = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    assert f"numba=={target.NUMBA_VERSION}.*" in pins
    llvmlite = next(pin for pin in pins if pin.startswith("llvmlite=="))
    assert importlib.metadata.version("llvmlite").startswith(llvmlite.removeprefix("llvmlite==").removesuffix("*"))


@pytest.mark.parametrize("ours, name", [(ours, name) for ours in CLASSES for name in overrides(ours)],
                         ids=lambda value: getattr(value, "__name__", value))
def test_what_is_overridden_is_still_there_with_the_same_parameters(ours: type, name: str) -> None:
    theirs = next((vars(base)[name] for base in ours.__mro__[1:] if name in vars(base)), None)
    assert theirs is not None, f"Numba {numba.__version__} has no {ours.__mro__[1].__name__}.{name} any more"
    mine = vars(ours)[name]
    if inspect.isfunction(mine) and inspect.isfunction(theirs) and name != "__init__":
        assert parameters(mine) == parameters(theirs), f"{ours.__mro__[1].__name__}.{name} changed its parameters"


def parameters(function: Any) -> list[str]:
    """Kinds and defaults of the parameters: Numba passes most of them by position."""
    return [f"{p.kind.name} {p.default is not p.empty}"
            for p in inspect.signature(inspect.unwrap(function)).parameters.values()]


def test_the_decorator_is_found_by_its_target() -> None:
    decorator = jit_registry[target.Metal]
    assert decorator is target.metal_jit and dispatcher_registry[target.Metal] is target.MetalDispatcher
    assert isinstance(decorator()(third), target.MetalDispatcher)
    assert target.MetalDispatcher.targetdescr.target_context.call_conv.__class__ is convention.MetalCallConv


def test_every_allocating_method_asks_what_is_overridden() -> None:
    allocating = [name for name in vars(NRTContext) if re.search("alloc|new", name) and name.endswith("_unchecked")]
    assert len(allocating) >= 6, allocating
    for name in allocating:
        source = inspect.getsource(getattr(NRTContext, name))
        assert "_require_nrt()" in source or "_call_varsize_alloc(" in source, f"NRTContext.{name} allocates unasked"


def test_a_library_still_gathers_modules_and_callees() -> None:
    assert {"_ensure_finalized", "_raise_if_finalized"} <= vars(codegen.CodeLibrary).keys()
    assert {"add_ir_module", "add_linking_library", "finalize"} <= vars(codegen.CPUCodeLibrary).keys()
    assert "_linking_libraries" in inspect.getsource(codegen.CPUCodeLibrary.__init__)


@metal
def third(words: I64, i: int) -> int:
    """A view made and passed on, so reference counting would show."""
    return words[i:][3]


def test_lowered_code_has_no_reference_counts_and_no_python() -> None:
    install()
    modules, name = target.lower(third, (types.int64[::1], types.int64))
    text = "\n".join(modules)
    assert name in text and FAMILY.triple in text
    assert not re.search(r"declare .*@\"?(NRT_|Py|numba_)", text)
    assert "inttoptr (i64" not in text


@metal
def part(words: I64, i: int) -> int:
    """Takes a view, which a caller of its own passes on."""
    return third(words[i:], 0)


def test_an_array_is_passed_as_its_address_and_its_length() -> None:
    install()
    modules, name = target.lower(part, (types.int64[::1], types.int64))
    lines = "\n".join(modules).splitlines()
    entry = next(line for line in lines if line.startswith("define") and name in line)
    assert entry.partition("(i64* captures(none)")[2].count("%") == 5, entry  # result, failure, address, length, i


def test_what_a_call_resolves_to_is_asked_once() -> None:
    install()
    typing = target.MetalDispatcher.targetdescr.typing_context
    target.lower(part, (types.int64[::1], types.int64))
    function = typing.resolve_value_type(operator.add)
    asked = [typing.resolve_function_type(function, (types.int64, types.int64), {}) for _ in range(2)]
    assert asked[0] is asked[1]


@metal
def widened(x: U8) -> int:
    """Numba compiles `int` of a byte, and keeps one of it for all targets."""
    return int(x[0])


@metal
def widened_again(x: U8) -> int:
    """The same, typed later."""
    return int(x[1]) + 1


def test_programs_and_the_hosts_jit_take_turns() -> None:
    data = types.Array(types.uint8, 1, "C")
    install()
    target.lower(widened, (data,))
    numba.njit(lambda x: int(x[2]))(np.zeros(3, np.uint8))
    target.lower(widened_again, (data,))
