"""What a process may still ask of Linux once a program runs in it: memory, time, threads, and the files it has open.

A filter of system calls (seccomp(2)) in a few words of classic BPF.  They are written here because the binding of
libseccomp is no package that can be depended on.
"""

import codecs
import ctypes
import os
import struct
import threading
from collections.abc import Iterable

# By their numbers on x86-64 (linux/arch/x86/entry/syscalls/syscall_64.tbl).
ALLOWED = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "munmap": 11, "brk": 12, "rt_sigprocmask": 14,
    "rt_sigreturn": 15, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "select": 23, "sched_yield": 24,
    "mremap": 25, "madvise": 28, "pause": 34, "nanosleep": 35, "getpid": 39, "exit": 60, "fsync": 74, "fdatasync": 75,
    "gettimeofday": 96, "sigaltstack": 131, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204,
    "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231,
    "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "preadv": 295, "pwritev": 296, "getrandom": 318,
    "membarrier": 324, "preadv2": 327, "pwritev2": 328, "rseq": 334}
NAMES = {number: name for name, number in ALLOWED.items()} | {
    2: "open", 9: "mmap", 10: "mprotect", 41: "socket", 42: "connect", 56: "clone", 57: "fork", 58: "vfork",
    59: "execve", 62: "kill", 101: "ptrace", 157: "prctl", 234: "tgkill", 257: "openat", 262: "newfstatat",
    322: "execveat", 437: "openat2"}
"""What a message calls them; others are numbers."""
TGKILL = 234
"""What the firmware needs where a processor is to stop: a signal for one thread."""

_MMAP, _MPROTECT, _CLONE, _PRCTL, _CLONE3, _SECCOMP = 9, 10, 56, 157, 435, 317
_PROT_EXEC, _CLONE_THREAD, _PR_SET_NAME, _ENOSYS = 0x4, 0x10000, 15, 38

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD, _IF_EQUAL, _IF_BITS, _RETURN = 0x20, 0x15, 0x45, 0x06
_KILL, _TRAP, _ERRNO, _ALLOW = 0x80000000, 0x00030000, 0x00050000, 0x7FFF0000
_NUMBER, _ARCHITECTURE, _ARGUMENTS, _X86_64 = 0, 4, 16, 0xC000003E
_PR_SET_NO_NEW_PRIVS, _SET_MODE_FILTER, _ALL_THREADS = 38, 1, 1

_CODECS = ("utf-8", "utf-16-le", "ascii", "cp437")
"""What firmware and volume write names in: Python reads a codec from a file the first time it is used."""


def confine(more: Iterable[int] = ()) -> str:
    """From here on, in all threads there are and will be, only what is ALLOWED, and `more` by number, is done.

    What else is asked for raises SIGSYS.  Returns "", or why the kernel does not do that.
    """
    for codec in _CODECS:
        codecs.lookup(codec)
    first = threading.Thread(target=int)  # with it the C library sets up signals of its own
    first.start()
    first.join()
    rules = filter_of(more)
    code = ctypes.create_string_buffer(rules)
    program = struct.pack("@HP", len(rules) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and not libc.syscall(
            _SECCOMP, _SET_MODE_FILTER, _ALL_THREADS, ctypes.create_string_buffer(program)):
        return ""
    return os.strerror(ctypes.get_errno() or _ENOSYS)


def filter_of(more: Iterable[int] = ()) -> bytes:
    """The filter: instructions of 8 bytes.

    No memory becomes executable, no process but a thread is made.  `clone3` hides its flags in memory, so it is said
    not to exist, and the C library takes `clone`.
    """
    rules = [(_LOAD, 0, 0, _ARCHITECTURE), (_IF_EQUAL, 1, 0, _X86_64), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    for number in (*ALLOWED.values(), *more):
        rules += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    rules += [(_IF_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    for number, argument, test, operand, if_so, if_not in (
            (_MMAP, 2, _IF_BITS, _PROT_EXEC, _TRAP, _ALLOW), (_MPROTECT, 2, _IF_BITS, _PROT_EXEC, _TRAP, _ALLOW),
            (_CLONE, 0, _IF_BITS, _CLONE_THREAD, _ALLOW, _TRAP), (_PRCTL, 0, _IF_EQUAL, _PR_SET_NAME, _ALLOW, _TRAP)):
        rules += [(_IF_EQUAL, 0, 4, number), (_LOAD, 0, 0, _ARGUMENTS + 8 * argument), (test, 0, 1, operand),
                  (_RETURN, 0, 0, if_so), (_RETURN, 0, 0, if_not)]
    return b"".join(struct.pack("<HBBI", *rule) for rule in (*rules, (_RETURN, 0, 0, _TRAP)))
