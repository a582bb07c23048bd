"""A PE32+ application into memory: sections at their places with their permissions, addresses relocated."""

from dataclasses import dataclass

import pefile

from barelm.contract import uefi
from barelm.errors import BarelmError
from barelm.machine.firmware.pages import Memory
from barelm.machine.firmware.process import guest, native
from barelm.machine.firmware.process.native import PAGE

_HINT = "Build the image again; the program in it has to be a UEFI application for x86-64."
_EXECUTE, _READ, _WRITE = 0x20000000, 0x40000000, 0x80000000
_LARGEST_IMAGE = 1 << 30


@dataclass(frozen=True)
class Image:
    """A loaded program: where, how many bytes, where it begins."""

    base: int
    size: int
    entry: int


def load_image(content: bytes, memory: Memory) -> Image:
    """Load a program into `memory`.

    Raises BarelmError where it is not a UEFI application for x86-64, is damaged, asks for memory that is both
    writable and executable, or does not fit.
    """
    pe = _parse(content)
    size = -(-pe.OPTIONAL_HEADER.SizeOfImage // PAGE) * PAGE
    if not 0 < size <= _LARGEST_IMAGE or pe.OPTIONAL_HEADER.AddressOfEntryPoint >= size:
        raise _damaged("its header gives impossible sizes")
    if pe.OPTIONAL_HEADER.SectionAlignment % PAGE:
        raise _damaged("its sections are not aligned to pages")
    base = _place(size, memory)
    target = guest.buffer(base, size)
    target[:] = bytes(size)
    _fill(target, 0, content[:min(pe.OPTIONAL_HEADER.SizeOfHeaders, size)])
    for section in pe.sections:
        stored = min(section.SizeOfRawData, section.Misc_VirtualSize)
        if section.PointerToRawData + stored > len(content):
            raise _damaged("it was cut short")
        _fill(target, section.VirtualAddress, content[section.PointerToRawData:][:stored])
    _relocate(pe, target, base - pe.OPTIONAL_HEADER.ImageBase)
    target.release()
    native.protect(base, size, native.READ)
    for section in pe.sections:
        _protect(section, base, size)
    return Image(base, size, base + pe.OPTIONAL_HEADER.AddressOfEntryPoint)


def _parse(content: bytes) -> pefile.PE:
    try:
        pe = pefile.PE(data=content, fast_load=True)
        pe.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_BASERELOC"]])
    except pefile.PEFormatError as error:
        raise _damaged(str(error)) from error
    if pe.FILE_HEADER.Machine != pefile.MACHINE_TYPE["IMAGE_FILE_MACHINE_AMD64"]:
        raise _damaged("it is for another processor")
    if pe.OPTIONAL_HEADER.Subsystem != pefile.SUBSYSTEM_TYPE["IMAGE_SUBSYSTEM_EFI_APPLICATION"]:
        raise _damaged("it is not a UEFI application")
    return pe


def _place(size: int, memory: Memory) -> int:
    try:
        return memory.allocate(size // PAGE, uefi.LOADER_CODE)
    except guest.EfiError as error:
        raise BarelmError("the program does not fit into the machine's memory", "Give the machine more.") from error


def _fill(target: memoryview, at: int, content: bytes) -> None:
    if at + len(content) > len(target):
        raise _damaged("a section lies outside it")
    target[at:at + len(content)] = content


def _relocate(pe: pefile.PE, target: memoryview, delta: int) -> None:
    """Add the distance from where it was linked to every absolute address (PE format, .reloc)."""
    for block in getattr(pe, "DIRECTORY_ENTRY_BASERELOC", ()):
        for entry in block.entries:
            if entry.type == pefile.RELOCATION_TYPE["IMAGE_REL_BASED_ABSOLUTE"]:
                continue
            if entry.type != pefile.RELOCATION_TYPE["IMAGE_REL_BASED_DIR64"] or entry.rva + 8 > len(target):
                raise _damaged("it has a relocation that does not exist on x86-64")
            place = target[entry.rva:entry.rva + 8]
            place[:] = (int.from_bytes(place, "little") + delta & guest.MASK).to_bytes(8, "little")


def _protect(section: pefile.SectionStructure, base: int, size: int) -> None:
    flags = section.Characteristics
    if flags & _WRITE and flags & _EXECUTE:
        raise _damaged("a section is both writable and executable")
    access = (native.READ * bool(flags & _READ) | native.WRITE * bool(flags & _WRITE)
              | native.EXECUTE * bool(flags & _EXECUTE))
    n_bytes = -(-section.Misc_VirtualSize // PAGE) * PAGE
    if section.VirtualAddress + n_bytes > size:
        raise _damaged("a section lies outside it")
    if n_bytes:
        native.protect(base + section.VirtualAddress, n_bytes, access)


def _damaged(what: str) -> BarelmError:
    return BarelmError(f"the program in the image cannot be started: {what}", _HINT)
