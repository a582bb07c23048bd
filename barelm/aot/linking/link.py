"""COFF objects to one PE32+ application (Microsoft's "PE Format"): parts in a row, references resolved, a head before.

A program for UEFI imports nothing, exports nothing and is loaded where there is room, so that little is left of what
a linker does.  The one that could be had in a wheel comes with a compiler for C, five times the size of all else.
"""

import hashlib
import struct
from dataclasses import dataclass, field

from barelm.aot.linking.coff import ABSOLUTE, CODE, UNDEFINED, WRITABLE, CoffObject, CoffSection, Symbol, read_object
from barelm.dialect.lowering import FAMILY
from barelm.errors import BarelmError

ENTRY = "efi_main"

_LEFT_OUT = (".pdata", ".xdata", ".drectve", ".debug", ".llvm")
"""Beginnings of names of sections: how Windows unwinds a stack, and what is for a linker or a debugger."""
_PAGE, _BLOCK, _HEAD_BYTES = 0x1000, 0x200, 0x400
_BASE = 0x140000000
_STAMP_AT = 72
_READ_EXECUTE, _READ_WRITE, _RELOCATIONS = 0x60000020, 0xC0000040, 0x42000040
_HINT = "This is a defect of barelm, or of the compiler: please report it with this sentence."


@dataclass
class Segment:
    """What becomes a section of the program: parts one behind the other, from an address that counts from its start."""

    start: int
    content: bytearray = field(default_factory=bytearray)

    def add(self, part: bytes, alignment: int) -> int:
        """Put a part behind the others; returns its address."""
        self.content.extend(bytes(-len(self.content) % alignment))
        self.content.extend(part)
        return self.start + len(self.content) - len(part)

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.start + len(self.content) + -len(self.content) % _PAGE


def link(objects: dict[str, bytes]) -> bytes:
    """Link; the same objects give the same bytes.  Raises BarelmError where they do not fit together."""
    parsed = {}
    for name, content in objects.items():
        try:
            parsed[name] = read_object(content)
        except (ValueError, struct.error) as error:
            raise BarelmError(f"linking the program failed: {name} is no object ({error})", _HINT) from error
    layout = Layout()
    for wanted in (CODE, 0, WRITABLE):
        for name, one in parsed.items():
            layout.place(name, one, wanted)
    for one in parsed.values():
        layout.place_common(one)
    for name, one in parsed.items():
        layout.resolve(name, one)
    if ENTRY not in layout.addresses:
        raise BarelmError(f"linking the program failed: there is no {ENTRY}", _HINT)
    return layout.program()


class Layout:
    """Where everything is."""

    def __init__(self) -> None:
        self.text = Segment(_PAGE)  # code and constants
        self.data = Segment(0)
        self.addresses: dict[str, int] = {}  # of external symbols
        self.places: dict[tuple[str, int], int] = {}  # of sections, by object and number
        self.moved: list[int] = []  # where an address stands that the loader has to correct

    def place(self, name: str, one: CoffObject, wanted: int) -> None:
        """Give the sections of an object that hold code, constants or what is written to their addresses."""
        if wanted == WRITABLE and not self.data.start:
            self.data.start = self.text.end
        segment = self.data if wanted == WRITABLE else self.text
        for number, section in enumerate(one.sections, 1):
            flags = section.characteristics & (CODE | WRITABLE)
            if flags != wanted or not section.content or section.name.startswith(_LEFT_OUT):
                continue
            named = [symbol for symbol in one.symbols.values() if symbol.section == number and symbol.is_external]
            if section.is_shared and any(symbol.name in self.addresses for symbol in named):
                continue
            self.places[name, number] = segment.add(section.content, section.alignment)
            for symbol in named:
                if symbol.name in self.addresses:
                    raise BarelmError(f"linking the program failed: two objects define {symbol.name}", _HINT)
                self.addresses[symbol.name] = self.places[name, number] + symbol.value

    def place_common(self, one: CoffObject) -> None:
        """Give the variables that no section has an address: each is zero at the start."""
        for symbol in one.symbols.values():
            if symbol.is_external and symbol.section == UNDEFINED and symbol.value and (
                    symbol.name not in self.addresses):
                self.addresses[symbol.name] = self.data.add(bytes(symbol.value), 16)

    def resolve(self, name: str, one: CoffObject) -> None:
        """Write addresses to where they are referred to."""
        for number, section in enumerate(one.sections, 1):
            if (name, number) in self.places:
                self._resolve_section(name, one, section, self.places[name, number])

    def _resolve_section(self, name: str, one: CoffObject, section: CoffSection, start: int) -> None:
        segment = self.data if section.characteristics & WRITABLE else self.text
        for reference in section.references:
            how = FAMILY.references.get(reference.kind)
            if how is None:
                raise BarelmError(f"linking the program failed: {name} refers to something in the way of kind "
                                  f"{reference.kind}, which {FAMILY.name} does not have", _HINT)
            place = start + reference.offset
            target = self._address(name, one.symbols[reference.symbol])
            at = slice(place - segment.start, place - segment.start + how.n_bytes)
            value = int.from_bytes(segment.content[at], "little")
            if how.is_address:
                self.moved.append(place)
                target += _BASE
            segment.content[at] = how.written(value, place, target).to_bytes(how.n_bytes, "little")

    def _address(self, name: str, symbol: Symbol) -> int:
        """Of a symbol of an object."""
        if symbol.section == ABSOLUTE:
            return symbol.value
        if (name, symbol.section) in self.places:
            return self.places[name, symbol.section] + symbol.value
        if symbol.name in self.addresses:
            return self.addresses[symbol.name]
        raise BarelmError(f"linking the program failed: nobody defines {symbol.name}", _HINT)

    def program(self) -> bytes:
        """The file: head, and what is loaded, each from a block of its own."""
        loaded = [(b".text", self.text, _READ_EXECUTE)]
        if self.data.content:
            loaded.append((b".data", self.data, _READ_WRITE))
        relocations = Segment(loaded[-1][1].end, bytearray(relocation_blocks(sorted(self.moved))))
        loaded.append((b".reloc", relocations, _RELOCATIONS))
        file, table = bytearray(_HEAD_BYTES), b""
        for name, segment, flags in loaded:
            # Zeros too: shim takes a section that is nowhere in the file for one inside the head, and refuses it.
            stored = segment.content + bytes(-len(segment.content) % _BLOCK)
            table += struct.pack("<8sIIIIIIHHI", name, len(segment.content), segment.start, len(stored), len(file),
                                 0, 0, 0, 0, flags)
            file += stored
        head = _head(len(loaded), self, relocations) + table
        file[:len(head)] = head
        # Where others have the time, this has what tells one program from another.
        file[_STAMP_AT:_STAMP_AT + 4] = hashlib.sha256(file).digest()[:4]
        return bytes(file)


def relocation_blocks(places: list[int]) -> bytes:
    """The table of addresses to correct, a block for each page ("The .reloc CoffSection")."""
    blocks = b""
    for page in sorted({place // _PAGE for place in places}):
        entries = [10 << 12 | place % _PAGE for place in places if place // _PAGE == page]
        entries += [0] * (len(entries) % 2)
        blocks += struct.pack(f"<II{len(entries)}H", page * _PAGE, 8 + 2 * len(entries), *entries)
    return blocks


def _head(n_sections: int, layout: Layout, relocations: Segment) -> bytes:
    """DOS header, PE signature, file header, optional header."""
    dos = struct.pack("<2s58xI", b"MZ", 64)
    directories = bytearray(16 * 8)
    struct.pack_into("<II", directories, 5 * 8, relocations.start, len(relocations.content))
    # executable, addresses above 2 GB; NX_COMPAT, DYNAMIC_BASE, HIGH_ENTROPY_VA; subsystem: EFI application
    file_header = struct.pack("<HHIIIHH", FAMILY.pe_machine, n_sections, 0, 0, 0, 112 + len(directories), 0x22)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII", 0x20B, 14, 0, len(layout.text.content), len(layout.data.content), 0,
        layout.addresses[ENTRY], layout.text.start, _BASE, _PAGE, _BLOCK, 6, 0, 0, 0, 6, 0, 0, relocations.end,
        _HEAD_BYTES, 0, 10, 0x160, 1 << 20, _PAGE, 1 << 20, _PAGE, 0, 16)
    return dos + b"PE\0\0" + file_header + optional + directories
