"""The primitives of the processor.  What only an operating system may do is tested by what boots."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from barelm.dialect.processor import (
    call_efi,
    call_engine,
    cpuid,
    cycles,
    enable_xsave,
    pause,
    read_xcr0,
    set_float_mode,
    worker_entry,
    write_xcr0,
)
from tests.worlds import World, both_worlds, interpreter, jit

here_is_x86_64 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="lowered for x86-64 only")
ARGUMENTS = (5, -1, 2**63 - 1, -2**63, 0x123456789ABCDEF, 6, 7, 8, 9, 10)


def callback(n: int, heard: list[tuple[int, ...]], status: int) -> Any:
    """A firmware function of n arguments that remembers them."""
    def service(*arguments: int) -> int:
        heard.append(arguments)
        return status

    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * n)(service)


def call_1(function: int, a: Any) -> int:
    """One argument."""
    return call_efi(function, (a[0],))


def call_4(function: int, a: Any) -> int:
    """All that fits registers, a plain constant among it."""
    return call_efi(function, (a[0], a[1], 7, a[3]))


def call_10(function: int, a: Any) -> int:
    """More than fits registers."""
    return call_efi(function, (a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]))


@both_worlds
@pytest.mark.parametrize("call, expected", [
    (call_1, ARGUMENTS[:1]), (call_4, (5, -1, 7, -2**63)), (call_10, ARGUMENTS)], ids=["1", "4", "10"])
@pytest.mark.parametrize("status", [0, -2**63 + 14, 3])
def test_call_efi_passes_every_argument_and_returns_the_status(world: World, call: Any, expected: tuple[int, ...],
                                                               status: int) -> None:
    heard: list[tuple[int, ...]] = []
    service = callback(len(expected), heard, status)
    address = ctypes.cast(service, ctypes.c_void_p).value
    assert world(call)(address, np.array(ARGUMENTS, np.int64)) == status
    assert heard == [expected]


def call_nothing(function: int) -> int:
    """No argument at all."""
    return call_efi(function, ())


def test_call_efi_without_arguments() -> None:
    heard: list[tuple[int, ...]] = []
    service = callback(0, heard, 12)
    assert interpreter(call_nothing)(ctypes.cast(service, ctypes.c_void_p).value) == 12
    assert heard == [()]


def two_readings() -> int:
    """How far the counter goes while nothing happens."""
    before = cycles()
    return cycles() - before


@both_worlds
def test_cycles_never_run_backwards(world: World) -> None:
    assert all(world(two_readings)() >= 0 for _ in range(100))


def identify(leaf: int, out: Any) -> None:
    """Four registers of one leaf."""
    out[0], out[1], out[2], out[3] = cpuid(leaf, 0)


def test_interpreters_processor_knows_no_leaf() -> None:
    assert cpuid(0, 0) == cpuid(1, 0) == cpuid(7, 0) == (0, 0, 0, 0)
    assert read_xcr0() == 3


@here_is_x86_64
def test_compiled_cpuid_reads_this_processor() -> None:
    out = np.zeros(4, np.int64)
    jit(identify)(0, out)
    assert (out >= 0).all() and (out < 1 << 32).all(), "each register is widened without its sign"
    vendor = b"".join(int(out[i]).to_bytes(4, "little") for i in (1, 3, 2))
    assert vendor.isascii() and len(vendor.strip(b"\0 ")) >= 8
    jit(identify)(1, out)
    assert int(out[3]) & 1 << 26, "every x86-64 has SSE2"


def vector_state() -> int:
    """XCR0."""
    return read_xcr0()


@here_is_x86_64
def test_compiled_xgetbv_says_sse_is_on() -> None:
    out = np.zeros(4, np.int64)
    jit(identify)(1, out)
    if not int(out[2]) & 1 << 27:
        pytest.skip("this processor has no XGETBV")
    assert jit(vector_state)() & 3 == 3


def compute_in_mode(x: Any) -> None:
    """A denormal survives; x[2] is what is left of it."""
    set_float_mode()
    pause()
    x[2] = x[0] * x[1]


@both_worlds
def test_float_mode_keeps_denormals(world: World) -> None:
    x = np.array([2.0**-126, 0.5, 0], np.float32)
    world(compute_in_mode)(x)
    assert x[2] == np.float32(2.0**-127) != 0


def test_what_only_the_metal_has_says_so() -> None:
    calls: list[Callable[[], object]] = [lambda: call_engine(0, 0, 0), worker_entry]
    for call in calls:
        with pytest.raises(RuntimeError, match="only a program on the metal"):
            call()


def test_privileged_primitives_do_nothing_in_the_interpreter() -> None:
    enable_xsave()
    write_xcr0(7)
