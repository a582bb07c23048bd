"""The check before linking: no symbol that nobody provides, no address of the compiling process."""

import re

from barelm.aot.linking.coff import read_object
from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.processor import ENGINE
from barelm.errors import BarelmError

ALLOWED = frozenset({"memcpy", "memset", "_fltused", *(ENGINE + level.name for level in FAMILY.levels)})
"""What an object may leave to the others (see `runtime`)."""

_BUG = "This is a defect of the metal code; `docs/DIALECT.md` says what it may use."
_DEFINE = re.compile(r'^define [^@]*@"?([^"(]+)"?\(')
_CALL = re.compile(r'@"?([A-Za-z_][\w.$]*)"?\(')
# Intrinsics that become calls into a C library when code is emitted, which is after this gate.
_OF_LIBM = re.compile(r"llvm\.(exp2?|exp10|log(2|10)?|powi?|a?(sin|cos|tan)h?|atan2|sincos)\.")
# An address of a process is above this; constants of a program that are used as addresses are not.
_HOST_POINTER = re.compile(r"inttoptr \(i64 (\d{6,})")


def check_module(text: str, others: tuple[str, ...] = ()) -> None:
    """Refuse optimised LLVM IR that calls what nobody provides, naming the caller, or holds an address of the host.

    What `others` are, another object of the program has.
    """
    declared = set(re.findall(r'^declare [^@]*@"?([^"(]+)"?\(', text, re.MULTILINE))
    missing = {name for name in declared if not name.startswith("llvm.") or _OF_LIBM.match(name)}
    missing -= ALLOWED.union(others)
    function = "?"
    for line in text.splitlines():
        if found := _DEFINE.match(line):
            function = found[1]
        elif address := _HOST_POINTER.search(line):
            raise BarelmError(f"{_readable(function)} would hold the host's address {int(address[1]):#x}", _BUG)
        elif missing and not line.startswith("declare"):
            for name in missing.intersection(_CALL.findall(line)):
                raise BarelmError(f"{_readable(function)} calls {name}, which does not exist on the metal", _BUG)


def check_object(content: bytes, others: tuple[str, ...] = ()) -> None:
    """Refuse a COFF object with an undefined symbol outside ALLOWED and `others`."""
    if unknown := undefined_symbols(content) - ALLOWED.union(others):
        raise BarelmError(f"the program needs {', '.join(sorted(unknown))}, which do not exist on the metal", _BUG)


def undefined_symbols(content: bytes) -> set[str]:
    """The external symbols a COFF object refers to and does not define (PE format, "COFF Symbol Table")."""
    return read_object(content).undefined()


def _readable(name: str) -> str:
    """Numba's mangled `_ZN6barelm5metal5story10tell_storyB3v81...` as barelm.metal.story.tell_story."""
    parts, at = [], name.find("_ZN") + 3
    while at >= 3 and (length := re.match(r"\d+", name[at:])):
        start = at + length.end()
        at = start + int(length[0])
        parts.append(name[start:at])
    return ".".join(parts) or name
