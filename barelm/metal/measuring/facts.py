"""Facts of the machine: processor, memory, firmware, time; as values, and as text."""

from typing import NamedTuple

from barelm.contract import uefi
from barelm.contract.failure_record import FailedCall
from barelm.contract.regions import Workspace
from barelm.contract.uefi_protocols import LoadedImage, MemoryDescriptor, SystemTable, Time
from barelm.dialect.memory import address_of, cells, load_u8, load_u16, load_u32, memory, text, u16_array
from barelm.dialect.processor import clock_name, cpu_name, failed_call
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U16
from barelm.metal import arena
from barelm.metal.console.sinks import Console
from barelm.metal.console.stream import put_code_point
from barelm.metal.console.writing import put, put_text
from barelm.metal.uefi.boot_services import Firmware, memory_map
from barelm.metal.uefi.handles import protocol_of
from barelm.metal.uefi.runtime_services import get_time

DOS_MAGIC, PE_OFFSET, TIME_STAMP = 0x5A4D, 0x3C, 8  # how an image in memory begins, and where it says so

MOST_UNITS = 1024
"""Of a text placed in the program."""


class MemoryFacts(NamedTuple):
    """What the memory map says, in bytes."""

    total: int  # that is memory, whoever has it; what is reserved may be none: windows of devices are too
    free: int
    largest_free: int
    regions: int
    loader: int
    boot_services: int
    runtime: int
    reserved: int


def memory_facts(fw: Firmware, workspace: Workspace) -> MemoryFacts:
    """The memory map, added up; all zero where the firmware does not show it."""
    found = arena.map_buffer(workspace)
    n_bytes, step = memory_map(fw, found)
    loader = boot = runtime = free = largest = reserved = acpi = 0
    for at in range(0, n_bytes, step):
        descriptor = MemoryDescriptor(address_of(found) + at)
        kind = descriptor.type
        size = descriptor.number_of_pages * 4096
        if kind == uefi.CONVENTIONAL_MEMORY:
            free += size
            largest = max(largest, size)
        elif kind == uefi.BOOT_SERVICES_CODE or kind == uefi.BOOT_SERVICES_DATA:
            boot += size
        elif kind == uefi.RUNTIME_SERVICES_CODE or kind == uefi.RUNTIME_SERVICES_DATA:
            runtime += size
        elif 1 <= kind <= uefi.LOADER_DATA:
            loader += size
        elif kind == 0 or 8 <= kind <= 10:
            reserved += size
            if kind >= 9:
                acpi += size
    return MemoryFacts(free + boot + runtime + loader + acpi, free, largest, n_bytes // step, loader, boot, runtime,
                       reserved)


def put_cpu_name(con: Console) -> None:
    """The processor's name as it says itself, without the blanks some put in."""
    name = cells(6)
    cpu_name(name)
    begun = False
    blank = False
    for i in range(48):
        letter = load_u8(address_of(name) + i)
        if letter == 0:
            return
        if letter != 32:
            if blank:
                put_code_point(con, 32)
            put_plain(con, letter)
            begun = True
        blank = begun and letter == 32


def put_plain(con: Console, character: int) -> None:
    """A character of a name somebody gave; none that would break a text in quotes, and no control."""
    if character >= 32 and character != 34 and character != 92 and not 127 <= character < 160:
        put_code_point(con, character)


def put_clock_asked(con: Console, asked: int) -> None:
    """By what the highest clock was asked for, and whether that read back."""
    put(con, sentence("{}", (clock_name(abs(asked)),)))
    if asked < 0:
        put_text(con, text(", not taken"))


def put_firmware_name(con: Console) -> None:
    """The firmware's vendor, as the system table has it (4.3); what would break a text in quotes left out."""
    at = SystemTable(con.fw.table).firmware_vendor
    if at == 0:
        return
    for i in range(64):
        unit = load_u16(at + 2 * i)
        if unit == 0:
            return
        if not 0xD800 <= unit < 0xE000:
            put_plain(con, unit)


def put_uefi_revision(con: Console) -> None:
    """Which UEFI the firmware keeps to, as 2.10."""
    revision = SystemTable(con.fw.table).revision
    put(con, sentence("{}.{}", (revision >> 16, (revision & 0xFFFF) // 10)))


def put_program(con: Console) -> None:
    """Which build of this program runs: the number its linker made of its bytes (PE format, TimeDateStamp)."""
    loaded = protocol_of(con.fw, con.fw.image, uefi.LOADED_IMAGE_PROTOCOL)
    base = LoadedImage(loaded).image_base if loaded != 0 else 0
    stamp = 0
    if base != 0 and load_u16(base) == DOS_MAGIC:
        stamp = load_u32(base + load_u32(base + PE_OFFSET) + TIME_STAMP)
    put(con, sentence("{:x8}", (stamp,)))


def constant(address: int) -> U16:
    """A text placed in the program, and what lies behind its zero."""
    return u16_array(memory(address, 2 * MOST_UNITS), 0, MOST_UNITS)


def failed_service() -> U16:
    """The service of the firmware whose call failed last, as in `contract.uefi_protocols`; an empty text: none has."""
    call = FailedCall(failed_call())
    return constant(call.service) if call.service != 0 else text("")


def failed_status() -> int:
    """With which status it did, less the bit of an error."""
    return FailedCall(failed_call()).status & 0xFFFF


def put_time(con: Console, between: int) -> bool:
    """The date and time, as 2026-11-24, the character `between`, 19:31:02; False where the firmware has no clock."""
    now = cells(2)
    if get_time(con.fw, now) != 0:
        return False
    put_date_and_time(con, Time(address_of(now)), between)
    return True


def put_date_and_time(con: Console, time: Time, between: int) -> None:
    """The same of a time that is known."""
    colon = 46 if between == 45 else 58  # in a file name there is none
    put(con, sentence("{:4}-{:2}-{:2}{:c}{:2}{:c}{:2}{:c}{:2}", (
        time.year, time.month, time.day, between, time.hour, colon, time.minute, colon, time.second)))
