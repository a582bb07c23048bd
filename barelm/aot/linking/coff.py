"""Objects as LLVM emits them: sections, symbols and references (Microsoft's "PE Format", COFF)."""

import struct
from dataclasses import dataclass

CODE, WRITABLE = 0x20, 0x80000000
"""Of the characteristics of a section: it holds code, it may be written to."""
UNDEFINED, ABSOLUTE = 0, -1
"""Numbers of sections that are none."""

_COMDAT, _UNINITIALISED, _MORE_REFERENCES = 0x1000, 0x80, 0x01000000
_EXTERNAL = 2


@dataclass(frozen=True)
class Symbol:
    """A name for a place in a section, or for what another object has; of a common one `value` is the size."""

    name: str
    value: int
    section: int  # from 1
    is_external: bool


@dataclass(frozen=True)
class Reference:
    """A place that the linker writes the address of a symbol to, in the way of a kind."""

    offset: int
    symbol: int
    kind: int


@dataclass(frozen=True)
class CoffSection:
    """A part of an object."""

    name: str
    content: bytes
    alignment: int
    characteristics: int
    references: tuple[Reference, ...]

    @property
    def is_shared(self) -> bool:
        """Whether other objects may have the same one, of which any will do."""
        return bool(self.characteristics & _COMDAT)


@dataclass(frozen=True)
class CoffObject:
    """An object; symbols by their numbers."""

    machine: int
    sections: tuple[CoffSection, ...]
    symbols: dict[int, Symbol]

    def undefined(self) -> set[str]:
        """What it refers to and leaves to others."""
        return {symbol.name for symbol in self.symbols.values()
                if symbol.is_external and symbol.section == UNDEFINED and symbol.value == 0}


def read_object(content: bytes) -> CoffObject:
    """Read one.  Raises ValueError or struct.error where it is none."""
    machine, n_sections, _, table, n_symbols, n_optional, _ = struct.unpack_from("<HHIIIHH", content)
    strings = table + 18 * n_symbols

    def text(raw: bytes, offset: int) -> str:
        if offset:
            raw = content[strings + offset:content.index(b"\0", strings + offset)]
        return raw.rstrip(b"\0").decode()

    symbols, number = {}, 0
    while number < n_symbols:
        raw, value, section, _, storage, n_auxiliary = struct.unpack_from("<8sIhHBB", content, table + 18 * number)
        name = text(raw, int.from_bytes(raw[4:], "little") if raw[:4] == bytes(4) else 0)
        symbols[number] = Symbol(name, value, section, storage == _EXTERNAL)
        number += 1 + n_auxiliary
    sections = []
    for k in range(n_sections):
        raw, _, _, size, at, references_at, _, n, _, flags = struct.unpack_from(
            "<8sIIIIIIHHI", content, 20 + n_optional + 40 * k)
        first = 0
        if flags & _MORE_REFERENCES:
            n, first = struct.unpack_from("<I", content, references_at)[0], 1
        references = tuple(Reference(*struct.unpack_from("<IIH", content, references_at + 10 * i))
                           for i in range(first, n))
        part = bytes(size) if flags & _UNINITIALISED else content[at:at + size]
        name = text(raw, int(raw[1:].rstrip(b"\0")) if raw[:1] == b"/" else 0)
        sections.append(CoffSection(name, part, 1 << max((flags >> 20 & 15) - 1, 0), flags, references))
    return CoffObject(machine, tuple(sections), symbols)
