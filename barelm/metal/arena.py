"""Every byte we own: a workspace, the weights, the state.  Taken once, counted on the board, given back at the end."""

from __future__ import annotations

from barelm.dialect.memory import fill_bytes, i64_array, memory
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, padded
from barelm.metal import board, tables
from barelm.metal.firmware import Firmware, allocate_low_pages, allocate_pages, free_pages
from barelm.pack import layout

# The workspace, byte offsets.  The scratch serves the loader as bounce buffer and the tokenizer as working space.
BOARD = 0
HEADER = 4096
CONSOLE = 8192
TEXT = 16384
TEXT_BYTES = layout.TEXT_BYTES
LINE = TEXT + TEXT_BYTES
LINE_BYTES = 16384
SCRATCH = 1 << 18


@metal
def open_workspace(fw: Firmware) -> int:
    """The address of the workspace, zeroed and already counted: below 4 GiB, where every disk controller can write."""
    n_pages = layout.WORKSPACE // layout.PAGE
    address = allocate_low_pages(fw, n_pages)
    if address == 0:
        address = allocate_pages(fw, n_pages)
    if address == 0:
        raise Failure(tables.EFI_OUT_OF_RESOURCES, "the firmware has not even two MiB of memory to give",
                      "Start on a machine with more memory.")
    fill_bytes(address, 0, layout.WORKSPACE)
    b = i64_array(memory(address + BOARD, board.BYTES), 0, board.WORDS)
    b[board.MEMORY] = layout.WORKSPACE
    return address


@metal
def take(fw: Firmware, b: I64, n_bytes: int) -> int:
    """The address of n bytes in whole pages, counted; 0 where the firmware refuses."""
    address = allocate_pages(fw, padded(n_bytes, layout.PAGE) // layout.PAGE)
    if address != 0:
        b[board.MEMORY] += padded(n_bytes, layout.PAGE)
    return address


@metal
def take_weights(fw: Firmware, b: I64, header: I64) -> bool:
    """Room for the sections: one block for the whole file, or a block each where the firmware refuses one so large."""
    whole = take(fw, b, header[layout.FILE_BYTES])
    for section in range(layout.SECTIONS):
        at = layout.SECTION_TABLE + section * layout.SECTION_WORDS
        if whole != 0:
            b[board.SECTIONS + section] = whole + header[at + layout.OFFSET]
        elif header[at + layout.BYTES] > 0:
            b[board.SECTIONS + section] = take(fw, b, header[at + layout.BYTES])
            if b[board.SECTIONS + section] == 0:
                return False
    b[board.WHOLE] = whole
    return True


@metal
def take_state(fw: Firmware, b: I64, header: I64) -> bool:
    """Room for the state, zeroed."""
    b[board.STATE] = take(fw, b, header[layout.STATE_BYTES])
    if b[board.STATE] == 0:
        return False
    fill_bytes(b[board.STATE], 0, header[layout.STATE_BYTES])
    return True


@metal
def give_back(fw: Firmware, workspace: int, b: I64, header: I64) -> None:
    """Return every page to the firmware, the workspace last."""
    if b[board.WHOLE] != 0:
        free_pages(fw, b[board.WHOLE], header[layout.FILE_BYTES] // layout.PAGE)
    else:
        for section in range(layout.SECTIONS):
            at = layout.SECTION_TABLE + section * layout.SECTION_WORDS
            if b[board.SECTIONS + section] != 0:
                free_pages(fw, b[board.SECTIONS + section],
                           padded(header[at + layout.BYTES], layout.PAGE) // layout.PAGE)
    if b[board.STATE] != 0:
        free_pages(fw, b[board.STATE], header[layout.STATE_BYTES] // layout.PAGE)
    free_pages(fw, workspace, layout.WORKSPACE // layout.PAGE)
