"""As little as a family can give."""

from __future__ import annotations

from llvmlite import ir

from barelm.dialect.lowering.emit import I32, I64, VOID, call
from barelm.dialect.lowering.registering import emits
from barelm.dialect.processor import NO_LEVEL
from barelm.dialect.rooms import metal
from barelm.dialect.types import I32 as Halves
from barelm.dialect.types import I64 as Words


def counter() -> int:
    """CNTVCT_EL0."""
    return 0


def yield_hint() -> None:
    """YIELD."""


emits(counter)(lambda builder: call(builder, "llvm.readsteadycounter", I64))
emits(yield_hint)(lambda builder: call(builder, "llvm.aarch64.hint", VOID, ir.Constant(I32, 1)))


@metal
def cycles() -> int:
    """The generic timer."""
    return counter()


@metal
def pause() -> None:
    """YIELD."""
    yield_hint()


@metal
def cpu_level(most: int) -> int:
    """NEON is always there; a timer that stands still is no processor's."""
    return 0 if counter() != 0 else NO_LEVEL


@metal
def enable_vectors(level: int) -> None:
    """UEFI leaves them on."""


@metal
def raise_clock() -> int:
    """Nobody knows whom to ask."""
    return 0


@metal
def counter_speed() -> int:
    """CNTFRQ_EL0 would say; nobody asks in these tests."""
    return 0


@metal
def core_speed() -> int:
    """Unknown."""
    return 0


@metal
def cpu_name(words: Words) -> None:
    """No name."""


@metal
def cpu_vendor(words: Words) -> None:
    """Arm."""
    words[0] = 0x6D7241


@metal
def cpu_signature() -> tuple[int, int, int]:
    """As MIDR_EL1 would say."""
    return 8, 1, 0


@metal
def cpu_features() -> int:
    """None."""
    return 0


@metal
def hash_blocks(words: Halves, address: int, n: int) -> bool:
    """None."""
    return False
