"""The check after linking: a UEFI application, without paths of the machine that compiled it."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pefile

import barelm
from barelm.dialect.lowering import FAMILIES, FAMILY
from barelm.errors import BarelmError

MACHINES = {0xAA64: "AArch64", **{family.pe_machine: family.name for family in FAMILIES}}
"""By the number in the header: what is met on a volume, ours among it."""

_BUG = "This is a defect of barelm or of the linker: please report it with this sentence."


@dataclass(frozen=True)
class ProgramFacts:
    """What `barelm show` prints of a program."""

    machine: str
    subsystem: str
    entry: int
    n_bytes: int
    sections: tuple[tuple[str, int], ...]
    n_relocations: int


def read_program(content: bytes, name: str = "the program") -> ProgramFacts:
    """The facts of a PE32+ file.  Raises BarelmError where `content` is none."""
    try:
        image = pefile.PE(data=content, fast_load=True)
        image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_BASERELOC"]])
    except pefile.PEFormatError as error:
        raise BarelmError(f"{name} is not a program for UEFI: {str(error).strip(chr(39))}",
                          "Make one with `barelm build`.") from error
    subsystem = pefile.SUBSYSTEM_TYPE.get(image.OPTIONAL_HEADER.Subsystem, "?")
    sections = tuple((section.Name.rstrip(b"\0").decode("latin-1"), section.Misc_VirtualSize)
                     for section in image.sections)
    relocations = sum(len(block.entries) for block in getattr(image, "DIRECTORY_ENTRY_BASERELOC", ()))
    return ProgramFacts(MACHINES.get(image.FILE_HEADER.Machine, "?"), str(subsystem),
                        image.OPTIONAL_HEADER.AddressOfEntryPoint, len(content), sections, relocations)


def check_program(content: bytes) -> None:
    """Refuse a linked program that firmware would not start, or that carries something of this machine."""
    facts = read_program(content)
    if facts.machine != FAMILY.name or facts.subsystem != "IMAGE_SUBSYSTEM_EFI_APPLICATION":
        raise BarelmError(f"the linker made a {facts.machine} {facts.subsystem}", _BUG)
    image = pefile.PE(data=content, fast_load=True)
    entry_section = image.get_section_by_rva(facts.entry)
    if entry_section is None or not entry_section.IMAGE_SCN_MEM_EXECUTE:
        raise BarelmError("the program's entry is not in its code", _BUG)
    if any(section.IMAGE_SCN_MEM_WRITE and section.IMAGE_SCN_MEM_EXECUTE for section in image.sections):
        raise BarelmError("a section of the program is both writable and executable", _BUG)
    if image.OPTIONAL_HEADER.DATA_DIRECTORY[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]].Size:
        raise BarelmError("the program imports from a library", _BUG)
    if not facts.n_relocations:
        raise BarelmError("the program has no relocations, so firmware could not load it anywhere", _BUG)
    if leaked := host_paths(content):
        raise BarelmError(f"the program would carry the path {leaked[0]}", _BUG)


def host_paths(content: bytes) -> list[str]:
    """Folders of this machine that appear in the bytes, as UTF-8 or UTF-16."""
    folders = {str(Path(barelm.__file__).parent.parent), sys.prefix, os.getcwd(), str(Path.home()), "site-packages"}
    return sorted(folder for folder in folders if len(folder) > 4
                  and (folder.encode() in content or folder.encode("utf-16-le") in content))
