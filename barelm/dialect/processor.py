"""Primitives of the processor, by what they are for: any family of processors gives them (`lowering.family`).

The interpreter's models answer like a processor of the lowest level without information about itself; `call_efi`
really calls, so metal code can be run against a table of callbacks.
"""

import ctypes
import time

import numpy as np

from barelm.dialect.lowering import FAMILY
from barelm.dialect.memory import text
from barelm.dialect.structs import Service
from barelm.dialect.types import I32, I64, U16

N_LEVELS = len(FAMILY.levels)
NO_LEVEL = -1
"""What `cpu_level` answers on a processor below the lowest level."""

TOO_OLD, TOO_OLD_HINT = FAMILY.too_old
"""What to tell of such a processor."""


def _roots_of_primes(power: int, n: int) -> tuple[int, ...]:
    """The first 32 bits behind the point of the square (2) or cube (3) roots of the first n primes (FIPS 180-4)."""
    primes = [p for p in range(2, 312) if all(p % d for d in range(2, p))][:n]
    found = []
    for prime in primes:
        root = round(prime ** (1 / power) * 2**32)
        while root**power > prime << 32 * power:
            root -= 1
        while (root + 1) ** power <= prime << 32 * power:
            root += 1
        found.append(root & 0xFFFFFFFF)
    return tuple(found)


SHA256_FIRST, SHA256_CONSTANTS = _roots_of_primes(2, 8), _roots_of_primes(3, 64)
"""What the words of SHA-256 begin with, and what is added in its rounds."""


EXPECTED = 1 << 6 | 1 << 14 | 1 << 18
"""Statuses, a bit each, that answer a question and tell of no fault: not ready, not found, timeout."""
QUESTION = "BootServices.handle_protocol"
"""The service whose every error is an answer: the handle has no such protocol."""

_failed = np.zeros(2, np.int64)
_names: dict[str, U16] = {}


def call_efi(function: int, arguments: tuple[int, ...]) -> int:
    """Call the firmware function at address `function` with integer arguments; returns its EFI status.

    Of a service, which is a field of a table, an error that is not EXPECTED is kept for `failed_call`.
    """
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(arguments))
    status = int(prototype(int(function))(*map(int, arguments)))
    if isinstance(function, Service) and status < 0 and not EXPECTED >> (status & 63) & 1:
        if function.name != QUESTION:
            _failed[:] = _names.setdefault(function.name, text(function.name)).ctypes.data, status
    return status


def failed_call() -> int:
    """Where two words are that last as long as the program: the address of the name, a text, of the service that failed
    last, and the status; zeros while none has.
    """
    return _failed.ctypes.data


def call_engine(level: int, job: int, core: int) -> int:
    """Run the engine compiled for level number `level` on the job at address `job`, as core number `core`."""
    raise RuntimeError("the engine is compiled once per CPU level: only a program on the metal has it")


def worker_entry() -> int:
    """Address of the procedure a woken processor starts in (EFI_AP_PROCEDURE)."""
    raise RuntimeError("worker processors start in compiled code: only a program on the metal has it")


def level_name(level: int) -> U16:
    """The name of level number `level`, a constant text: x86-64-v3."""
    return text(FAMILY.level_names()[level])


def feature_name(number: int) -> U16:
    """The name of bit `number` of `cpu_features`, a constant text: AVX2."""
    return text(FAMILY.features[number])


def clock_name(number: int) -> U16:
    """The name of what `raise_clock` asks by, a constant text: HWP."""
    return text(FAMILY.clocks[number])


def cycles() -> int:
    """A counter that advances at a constant rate and never runs backwards (in the interpreter: nanoseconds)."""
    return time.perf_counter_ns()


def pause() -> None:
    """Tell the processor that this is a spin loop."""


def cpu_level(most: int) -> int:
    """The number of the level to compute at here, at most that one, counted from 0, the lowest; NO_LEVEL below that."""
    return 0


def enable_vectors(level: int) -> None:
    """On this core, switch on the registers of a level where nobody has, and set the mode floats are computed in.

    That is the interpreter's: every exception masked, round to nearest, denormals kept.
    """


def raise_clock() -> int:
    """Ask for the highest clock this core may have; returns by what, as `clock_name` numbers it, 0 where nobody was.

    Negative where what was asked for does not read back.  Nobody is asked under a hypervisor, whose matter it is, nor
    in a process of an operating system.
    """
    return 0


def counter_speed() -> int:
    """Counts of `cycles` in a second, as the processor says itself; 0: it does not."""
    return 0


def core_speed() -> int:
    """Clocks of this core in a thousand counts of `cycles`, measured over some milliseconds of work; 0: unknown."""
    return 0


def cpu_name(words: I64) -> None:
    """The processor's name as it says itself: up to 48 ASCII characters into six words, the first the lowest byte.

    Zeros come behind it, and for all that is not known.
    """
    words[:6] = 0


def cpu_vendor(words: I64) -> None:
    """Who made the processor, as it says itself: up to 16 ASCII characters into two words, in the same way."""
    words[:2] = 0


def cpu_signature() -> tuple[int, int, int]:
    """Family, model and stepping by the maker's own count."""
    return 0, 0, 0


def cpu_features() -> int:
    """Which instructions worth a word there are, used or not: a bit each, named by `feature_name`."""
    return 0


def hash_blocks(words: I32, address: int, n: int) -> bool:
    """Go on with SHA-256's eight words over n blocks of 64 bytes at an address, by instructions made for it.

    False where the processor has none: then nothing is done, and `kernels.sha256` computes the same.
    """
    return False
