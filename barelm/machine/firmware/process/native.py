"""What the firmware asks of Linux: mapped memory with permissions, code that crosses into the program, faults."""

import ctypes
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from barelm.machine.firmware.process import code

PAGE = 4096

NO_ACCESS, READ, WRITE, EXECUTE = 0, 1, 2, 4
READ_WRITE, READ_EXECUTE = READ | WRITE, READ | EXECUTE

# mmap(2), madvise(2), sigaction(2), on Linux x86-64
_PRIVATE, _FIXED_NOREPLACE, _ANONYMOUS, _NORESERVE = 0x2, 0x100000, 0x20, 0x4000
_DONTNEED, _HUGEPAGE = 4, 14
_SIGINFO, _ONSTACK = 0x4, 0x8000000
_MAP_FAILED = (1 << 64) - 1
_SIGNAL_STACK = 0x10000
_PR_SET_PDEATHSIG = 1
_M_ARENA_MAX, _ARENAS = -8, 8

FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_uint64
_libc.mmap.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
_libc.munmap.argtypes = [ctypes.c_uint64, ctypes.c_uint64]
_libc.mprotect.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int]
_libc.madvise.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int]

Dispatch = Callable[[int, int], int]


class _StackT(ctypes.Structure):
    _fields_ = [("ss_sp", ctypes.c_uint64), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_uint64)]


class _Sigaction(ctypes.Structure):
    _fields_ = [("sa_handler", ctypes.c_uint64), ("sa_mask", ctypes.c_uint64 * 16),
                ("sa_flags", ctypes.c_uint32), ("sa_restorer", ctypes.c_uint64)]


def limit_arenas() -> None:
    """Heaps for threads, no more than glibc makes without counting processors first: it reads a file for that, which a
    confined process may not (mallopt(3)).  Another C library has no such option.
    """
    with suppress(AttributeError):
        _libc.mallopt(_M_ARENA_MAX, _ARENAS)


def reserve(n_bytes: int, at: int = 0) -> int:
    """Address space without access, exactly at `at` where given; returns its address, or 0 where that is taken."""
    flags = _PRIVATE | _ANONYMOUS | _NORESERVE | (_FIXED_NOREPLACE if at else 0)
    address = int(_libc.mmap(at, n_bytes, NO_ACCESS, flags, -1, 0))
    if address == _MAP_FAILED:
        return 0
    if at and address != at:
        _libc.munmap(address, n_bytes)
        return 0
    return address


def release(address: int, n_bytes: int) -> None:
    """Give address space back."""
    _libc.munmap(address, n_bytes)


def protect(address: int, n_bytes: int, access: int) -> bool:
    """Set what may be done with pages; False where the system has no memory for them."""
    return int(_libc.mprotect(address, n_bytes, access)) == 0


def discard(address: int, n_bytes: int) -> None:
    """Give the memory behind pages back to the system."""
    _libc.madvise(address, n_bytes, _DONTNEED)


def prefer_huge_pages(address: int, n_bytes: int) -> None:
    """Back memory by large pages where the system can, as firmware does."""
    _libc.madvise(address, n_bytes, _HUGEPAGE)


def allocate_stack(n_bytes: int) -> int:
    """A stack for `Bridge.enter` with a page below it that faults; returns its top.  At most STACK_BLOCK bytes."""
    block = code.STACK_BLOCK
    lowest = reserve(3 * block)
    end = (lowest // block + 3) * block
    if not lowest or not protect(end - n_bytes, n_bytes, READ_WRITE):
        raise MemoryError("no memory for a stack")
    return end - 64


class Bridge:
    """The executable page: thunks the program calls and `dispatch(number, arguments)` answers, and the way in."""

    def __init__(self, n_services: int, dispatch: Dispatch) -> None:
        """Write the code of `n_services` thunks."""
        self._callback = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint64)(dispatch)
        to_python = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        content = bytearray(code.assemble(code.ENTER))
        give_way = len(content)
        content += code.assemble(code.GIVE_WAY)
        service = len(content)
        content += code.assemble(code.SERVICE, to_python)
        self._thunks = []
        for number in range(n_services):
            self._thunks.append(len(content))
            content += code.thunk(number, len(content), service)
        self._base = _executable(content)
        self.give_way = self._base + give_way
        prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 4)
        self.enter: Callable[[int, int, int, int], int] = prototype(self._base)

    def thunk(self, number: int) -> int:
        """The address the program calls for service `number`."""
        return self._base + self._thunks[number]


def note_faults(words: int) -> None:
    """Let a fault write its signal, si_code, address touched, instruction pointer and accumulator to the five words
    there, and end the process with 3.
    """
    handler = _executable(bytearray(code.assemble(code.FAULT, words)))
    action = _Sigaction(sa_handler=handler, sa_flags=_SIGINFO | _ONSTACK)
    for number in FAULTS:
        _libc.sigaction(int(number), ctypes.byref(action), None)


def stop_at(number: signal.Signals) -> None:
    """Let a thread that gets this signal stay where it is for good, as a processor does that is parked."""
    action = _Sigaction(sa_handler=_executable(bytearray(code.assemble(code.STOP))), sa_flags=_ONSTACK)
    _libc.sigaction(int(number), ctypes.byref(action), None)


def prepare_thread() -> Any:
    """Give this thread a stack for `note_faults`, for the program's may be what overflowed; keep the result."""
    stack = ctypes.create_string_buffer(_SIGNAL_STACK)
    _libc.sigaltstack(ctypes.byref(_StackT(ctypes.addressof(stack), 0, _SIGNAL_STACK)), None)
    return stack


def die_with_parent() -> None:
    """Have the system kill this process when the one that forked it ends, however it ends (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _executable(content: bytearray) -> int:
    n_bytes = -(-len(content) // PAGE) * PAGE
    address = reserve(n_bytes)
    if not address or not protect(address, n_bytes, READ_WRITE):
        raise MemoryError("no memory for code")
    ctypes.memmove(address, bytes(content), len(content))
    protect(address, n_bytes, READ_EXECUTE)
    return address
