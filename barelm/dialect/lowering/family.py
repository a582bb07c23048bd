"""What a processor family has to define.  Data only, so that reading or booting a program needs no compiler."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Level:
    """A set of instructions code is compiled for."""

    name: str  # in the names of objects and symbols
    cpu: str  # LLVM's name of a processor that has them
    features: str = ""  # LLVM's list of what there is beside that processor's
    forms_need: tuple[str, ...] = ()  # the features, by LLVM's names, without which the level's forms cannot run


@dataclass(frozen=True)
class AddressForm:
    """A way in which an object's code or data refer to an address (PE format, "Type Indicators")."""

    n_bytes: int
    written: Callable[[int, int, int], int]  # what stands there, from what the compiler left, the place, the target
    is_address: bool = False  # of memory, not a distance: the loader corrects it


@dataclass(frozen=True)
class Family:
    """A row of the table in `barelm.dialect.lowering`.

    Two modules of the family's folder are its code: `primitives` has a function of the dialect for each one that
    `lowering.processor` asks a family for, `vector_forms` the columns FORMS, one for each level, of `lowering.levels`.
    """

    package: str  # the folder
    name: str  # as a person reads it
    triple: str  # LLVM's name of a program for UEFI
    pe_machine: int  # how a PE header names the family (PE format, "Machine Types")
    boot_file: str  # what firmware starts in EFI/BOOT (UEFI specification 2.10, 3.5.1.1)
    baseline: Level  # what every processor has: the program starts there
    levels: tuple[Level, ...]  # what the engine is compiled for, lowest first
    features: tuple[str, ...]  # the bits of `dialect.processor.cpu_features`, lowest first, as a person reads them
    clocks: tuple[str, ...]  # by what `dialect.processor.raise_clock` asks, as a person reads them; the first is nobody
    too_old: tuple[str, str]  # what a processor below the lowest level lacks, and what to do
    routines: str  # LLVM IR of memcpy and memset
    references: dict[int, AddressForm]  # by the kinds that COFF objects of the family name
    entry: str  # assembly before any compiled code: what firmware may have left off, a jump to operand 0; "": nothing

    def level_names(self) -> tuple[str, ...]:
        """The levels as a person reads them: x86-64-v2."""
        return tuple(f"{self.name}-{level.name}" for level in self.levels)

    def module(self, name: str) -> Any:
        """A module of the family's folder; imports the compiler."""
        return import_module(f"{self.package}.{name}")
