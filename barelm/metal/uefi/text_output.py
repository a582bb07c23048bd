"""Calls into the firmware: the text on its console, where it has one (UEFI 12.4)."""

from barelm.contract import uefi
from barelm.contract.uefi_protocols import SimpleTextOutput, SimpleTextOutputMode
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.dialect.types import U16
from barelm.metal.uefi.boot_services import Firmware


def output_string(fw: Firmware, units: U16) -> int:
    """Show UTF-16 text up to its terminating zero; where that fails, once more, for nothing else keeps the text."""
    if fw.con_out == 0:
        return uefi.EFI_SUCCESS
    status = call_efi(SimpleTextOutput(fw.con_out).output_string, (fw.con_out, address_of(units)))
    if status < 0:
        status = call_efi(SimpleTextOutput(fw.con_out).output_string, (fw.con_out, address_of(units)))
    return status


def console_mode(fw: Firmware) -> SimpleTextOutputMode:
    """The mode it is in; there has to be a console.  Its address is 0 where the firmware has none to show."""
    return SimpleTextOutputMode(SimpleTextOutput(fw.con_out).mode)


def console_columns(fw: Firmware) -> int:
    """How many columns it has."""
    size = cells(2)
    mode = console_mode(fw).mode if fw.con_out != 0 and console_mode(fw).address != 0 else 0
    if fw.con_out == 0 or call_efi(SimpleTextOutput(fw.con_out).query_mode, (
            fw.con_out, mode, address_of(size), address_of(size) + 8)) != 0:
        return 80
    return size[0]


def console_row(fw: Firmware) -> int:
    """In which row its cursor is."""
    return 0 if fw.con_out == 0 or console_mode(fw).address == 0 else console_mode(fw).cursor_row & 0xFFFF


def set_cursor_position(fw: Firmware, column: int, row: int) -> int:
    """Put its cursor somewhere."""
    if fw.con_out == 0:
        return uefi.EFI_SUCCESS
    return call_efi(SimpleTextOutput(fw.con_out).set_cursor_position, (fw.con_out, column, row))


def set_attribute(fw: Firmware, attribute: int) -> int:
    """The colour of what it shows next, by the numbers of UEFI 12.4.7."""
    if fw.con_out == 0:
        return uefi.EFI_SUCCESS
    return call_efi(SimpleTextOutput(fw.con_out).set_attribute, (fw.con_out, attribute))


def clear_screen(fw: Firmware) -> int:
    """Blank it."""
    if fw.con_out == 0:
        return uefi.EFI_SUCCESS
    return call_efi(SimpleTextOutput(fw.con_out).clear_screen, (fw.con_out,))
