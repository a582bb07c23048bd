"""The primitives of the processor.  What only an operating system may do is tested by what boots."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from barelm.contract.uefi_protocols import BootServices
from barelm.dialect.lowering import FAMILY
from barelm.dialect.memory import load_i64
from barelm.dialect.processor import (
    N_LEVELS,
    NO_LEVEL,
    call_efi,
    call_engine,
    clock_name,
    core_speed,
    cpu_features,
    cpu_level,
    cpu_name,
    cpu_signature,
    cpu_vendor,
    cycles,
    enable_vectors,
    failed_call,
    feature_name,
    level_name,
    pause,
    raise_clock,
    worker_entry,
)
from barelm.dialect.rooms import kernel
from barelm.dialect.structs import Struct, room
from tests.worlds import World, both_worlds, interpreter, jit

ERROR = -(1 << 63)
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


class Table(Struct):
    """A table of a firmware, with services and a function that is none."""

    write: int = room(note="n")
    read: int = room(note="n")
    plain: int


def call_table(table: int, a: Any) -> int:
    """What is kept once one of its functions was called."""
    if a[0] == 0:
        status = call_efi(Table(table).write, (5,))
    elif a[0] == 1:
        status = pass_on(Table(table).read)
    elif a[0] == 2:
        status = call_efi(Table(table).plain, (5,))
    else:
        status = call_efi(BootServices(table).handle_protocol, (5,))
    a[1] = load_i64(failed_call())
    a[2] = load_i64(failed_call() + 8)
    return status


@kernel
def pass_on(service: int) -> int:
    """A service that another function was given is what it was."""
    return call_efi(service, (7,))


@both_worlds
def test_the_call_that_failed_last_is_kept_by_its_name(world: World) -> None:
    answers = [ERROR | 7]
    service = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda a: answers[-1])
    table = np.full(64, ctypes.cast(service, ctypes.c_void_p).value, np.int64)
    called = world(call_table)

    def kept(which: int, status: int) -> tuple[str, int]:
        answers.append(status)
        a = np.array([which, 0, 0], np.int64)
        assert called(table.ctypes.data, a) == status
        return text_at(int(a[1])), int(a[2])

    assert kept(0, ERROR | 7) == ("Table.write", ERROR | 7)
    assert kept(1, ERROR | 103) == ("Table.read", ERROR | 103)
    for status in (0, 7, ERROR | 6, ERROR | 14, ERROR | 18):  # done, a warning, and what answers a question
        assert kept(0, status) == ("Table.read", ERROR | 103)
    for question in (2, 3):  # no service, and one whose errors are answers
        assert kept(question, ERROR | 7) == ("Table.read", ERROR | 103)
    assert kept(0, ERROR | 3) == ("Table.write", ERROR | 3)


def text_at(address: int) -> str:
    """UTF-16 up to its zero."""
    return ctypes.string_at(address, 24).decode("utf-16-le").partition("\0")[0]


def two_readings() -> int:
    """How far the counter goes while nothing happens."""
    before = cycles()
    return cycles() - before


@both_worlds
def test_cycles_never_run_backwards(world: World) -> None:
    assert all(world(two_readings)() >= 0 for _ in range(100))


def compute_in_mode(x: Any) -> None:
    """A denormal survives; x[2] is what is left of it."""
    enable_vectors(0)
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


def names(number: int, out: Any) -> None:
    """A level's name, a feature's, and a clock's."""
    level, feature, clock = level_name(number), feature_name(number), clock_name(number)
    for i in range(len(level)):
        out[i] = level[i]
    for i in range(len(feature)):
        out[20 + i] = feature[i]
    for i in range(len(clock)):
        out[40 + i] = clock[i]


@both_worlds
@pytest.mark.parametrize("number", range(len(FAMILY.levels)))
def test_names_are_those_of_the_table(world: World, number: int) -> None:
    out = np.zeros(60, np.uint16)
    world(names)(number, out)
    shown = list(filter(None, out.tobytes().decode("utf-16-le").split("\0")))
    assert shown == [FAMILY.level_names()[number], FAMILY.features[number], FAMILY.clocks[number]]


def level() -> int:
    """What is decided here."""
    return cpu_level(N_LEVELS)


@both_worlds
def test_this_processor_has_a_level_of_the_table(world: World) -> None:
    assert NO_LEVEL <= world(level)() < len(FAMILY.levels)


def speed() -> int:
    """Of this core."""
    return core_speed()


def ask() -> int:
    """For the highest clock."""
    return raise_clock()


def test_in_a_process_nobody_is_asked_for_a_clock_but_it_is_measured() -> None:
    """Registers that say more would end this process."""
    assert interpreter(ask)() == interpreter(speed)() == jit(ask)() == 0
    assert jit(speed)() > 0


def test_the_interpreters_processor_says_nothing_of_itself() -> None:
    words = np.ones(6, np.int64)
    cpu_name(words)
    assert not words.any() and cpu_signature() == (0, 0, 0) and cpu_features() == 0 == cpu_level(N_LEVELS)
    words[:] = 1
    cpu_vendor(words[:2])
    assert words.tolist() == [0, 0, 1, 1, 1, 1]
