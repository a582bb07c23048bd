"""Calls into the firmware: the modes of the screen, and pixels on it (UEFI 12.9)."""

from barelm.contract import uefi
from barelm.contract.uefi_protocols import BootServices, GraphicsOutput, GraphicsOutputModeInformation, SystemTable
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import locate_protocol, protocol_of


def find_graphics(fw: Firmware) -> int:
    """The graphics output of the screen the firmware's console is on, or the first there is, or 0."""
    found = protocol_of(fw, SystemTable(fw.table).console_out_handle, uefi.GRAPHICS_OUTPUT_PROTOCOL)
    return found if found != 0 else locate_protocol(fw, uefi.GRAPHICS_OUTPUT_PROTOCOL)


def graphics_mode_size(fw: Firmware, graphics: int, number: int) -> tuple[int, int]:
    """Width and height of a mode in pixels, (0, 0) where the firmware does not say."""
    result = cells(2)
    if call_efi(GraphicsOutput(graphics).query_mode,
                (graphics, number, address_of(result), address_of(result) + 8)) != 0 or result[1] == 0:
        return 0, 0
    mode = GraphicsOutputModeInformation(result[1])
    size = mode.horizontal_resolution, mode.vertical_resolution
    call_efi(BootServices(fw.boot).free_pool, (result[1],))
    return size


def set_graphics_mode(graphics: int, number: int) -> int:
    """Switch to a mode; returns the status."""
    return call_efi(GraphicsOutput(graphics).set_mode, (graphics, number))


def blt(graphics: int, source: int, operation: int, place: tuple[int, int, int, int], row_bytes: int) -> int:
    """Pixels (blue, green, red, 0) from an address to (x, y, width, height) on the screen; returns the status."""
    x, y, width, height = place
    return call_efi(GraphicsOutput(graphics).blt,
                    (graphics, source, operation, 0, 0, x, y, width, height, row_bytes))
