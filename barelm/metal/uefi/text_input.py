"""Calls into the firmware: the keys of its keyboard (UEFI 12.2, 12.3)."""

from barelm.contract import uefi
from barelm.contract.uefi_protocols import KeyData, SimpleTextInput, SimpleTextInputEx
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.metal.uefi.boot_services import Firmware


def read_stroke(fw: Firmware, extended: int) -> int:
    """The next key typed, as shift state << 32 | scan code << 16 | UTF-16 unit, or -1 where none waits.

    `extended` is the address of EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL, or 0.
    """
    data = cells(2)
    stroke = KeyData(address_of(data))
    if extended != 0:
        status = call_efi(SimpleTextInputEx(extended).read_key_stroke_ex, (extended, stroke.address))
        if status & 0xFF == uefi.EFI_NOT_READY:
            return -1
        if status == 0:
            known = stroke.shift_state & uefi.SHIFT_STATE_VALID != 0
            shift = stroke.shift_state & uefi.SHIFT_STATE_BITS if known else 0
            return shift << 32 | stroke.scan_code << 16 | stroke.unicode_char
    if fw.con_in == 0 or call_efi(SimpleTextInput(fw.con_in).read_key_stroke, (fw.con_in, stroke.address)) != 0:
        return -1
    return stroke.scan_code << 16 | stroke.unicode_char
