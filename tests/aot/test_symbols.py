"""What may not be on the metal is refused while it is compiled, and the sentence says where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import types

from barelm.aot import symbols
from barelm.aot.object import emit, linked
from barelm.aot.target import lower
from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.install import install
from barelm.dialect.rooms import kernel, metal
from barelm.dialect.types import f32
from barelm.errors import BarelmError

HERE = "tests/aot/test_symbols.py"
HOST_ADDRESS = 0x7F0123456780


@kernel
def allocates(n: int) -> int:
    """Takes memory of its own."""
    room = np.zeros(n, np.int64)
    return int(room[0])


@metal
def calls_what_allocates(n: int) -> int:
    """Innocent itself."""
    return allocates(n) + 1


@metal
def appends(n: int) -> int:
    """A list grows."""
    numbers = [1, 2]
    numbers.append(n)
    return numbers[n]


@metal
def formats(n: int) -> int:
    """So does a string."""
    return len(str(n))


@metal
def calls_expf(n: int) -> int:
    """A transcendental of somebody else's."""
    return int(np.exp(f32(n)))


def line_of(text: str) -> int:
    """The line of this file that holds `text` first."""
    return next(n for n, line in enumerate(Path(__file__).read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize("function, text", [
    (allocates, "room = np.zeros"), (calls_what_allocates, "room = np.zeros"), (appends, "numbers = [1"),
    (formats, "return len(str")], ids=lambda value: getattr(value, "__name__", ""))
def test_allocation_is_refused_with_file_and_line(function: Any, text: str) -> None:
    install()
    with pytest.raises(BarelmError, match=f"^{HERE}:{line_of(text)} allocates memory") as refused:
        lower(function, (types.int64,))
    assert "arena" in refused.value.hint


def test_call_of_libm_is_refused_and_the_caller_named() -> None:
    install()
    modules, name = lower(calls_expf, (types.int64,))
    with pytest.raises(BarelmError, match=r"test_symbols\.calls_expf\S* calls llvm\.exp\.f32, which does not exist"):
        emit(linked(modules), (name,), FAMILY.baseline, small=True)


def module(body: str) -> str:
    """A function of LLVM IR with a name as Numba mangles them."""
    return (f'target triple = "{FAMILY.triple}"\n@word = external global i64\ndeclare i64 @faraway(i64)\n'
            f"define i64 @_ZN6barelm5metal4main6guiltyB2v1(i64 %x) {{\n{body}\n}}\n")


def test_call_of_the_c_library_is_refused_and_the_caller_named() -> None:
    body = "  %v = call i64 @expf(i64 %x)\n  ret i64 %v"
    with pytest.raises(BarelmError, match=r"barelm\.metal\.main\.guilty\S* calls expf, which does not exist"):
        whole = linked([module(body).replace("@faraway", "@expf")])
        emit(whole, ("_ZN6barelm5metal4main6guiltyB2v1",), FAMILY.baseline, small=True)


def test_address_of_the_host_is_refused() -> None:
    body = f"  %v = load i64, ptr inttoptr (i64 {HOST_ADDRESS} to ptr)\n  ret i64 %v"
    with pytest.raises(BarelmError, match=rf"barelm\.metal\.main\.guilty\S* would hold the host's address "
                                          rf"{HOST_ADDRESS:#x}"):
        emit(linked([module(body)]), ("_ZN6barelm5metal4main6guiltyB2v1",), FAMILY.baseline, small=True)


def test_unknown_function_is_refused() -> None:
    body = "  %v = call i64 @faraway(i64 %x)\n  ret i64 %v"
    with pytest.raises(BarelmError, match=r"barelm\.metal\.main\.guilty\S* calls faraway"):
        emit(linked([module(body)]), ("_ZN6barelm5metal4main6guiltyB2v1",), FAMILY.baseline, small=True)


def test_unknown_variable_is_refused_by_the_object_gate() -> None:
    body = "  %v = load i64, ptr @word\n  ret i64 %v"
    with pytest.raises(BarelmError, match="the program needs word, which do not exist"):
        emit(linked([module(body)]), ("_ZN6barelm5metal4main6guiltyB2v1",), FAMILY.baseline, small=True)


def test_what_the_runtime_provides_passes() -> None:
    body = "  ret i64 %x"
    content = emit(linked([module(body)]), ("_ZN6barelm5metal4main6guiltyB2v1",), FAMILY.baseline, small=True)
    assert content[:2] == b"\x64\x86"


def test_undefined_symbols_reads_short_and_long_names() -> None:
    text = (f'target triple = "{FAMILY.triple}"\n'
            "declare i64 @memcpy(i64)\ndeclare i64 @barelm_engine_v2(i64)\n"
            "define i64 @defined_here_and_long(i64 %x) {\n  %a = call i64 @memcpy(i64 %x)\n"
            "  %b = call i64 @barelm_engine_v2(i64 %a)\n  ret i64 %b\n}\n")
    content = emit(linked([text]), ("defined_here_and_long",), FAMILY.baseline, small=True)
    assert symbols.undefined_symbols(content) == {"memcpy", "barelm_engine_v2"} <= symbols.ALLOWED
