"""Every byte we own: a workspace, the weights, the state.  Taken once, counted on the board, given back at the end."""

from __future__ import annotations

from barelm.contract import layout, uefi
from barelm.dialect.memory import fill_bytes, i64_array, memory
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, padded
from barelm.metal import board
from barelm.metal.uefi.boot_services import (
    Firmware,
    allocate_low_pages,
    allocate_pages,
    free_pages,
    publish_interface,
    withdraw_interface,
)

# The workspace, byte offsets.  The scratch serves the loader as bounce buffer and the tokenizer as working space.
BOARD = 0
HEADER = 4096
CONSOLE = 8192
TEXT = 16384
TEXT_BYTES = layout.TEXT_BYTES
LINE = TEXT + TEXT_BYTES
LINE_BYTES = 16384
HISTORY = LINE + LINE_BYTES  # lines typed before
HISTORY_BYTES = 16384
KEYBOARD = HISTORY + HISTORY_BYTES  # metal.keyboard
KEYBOARD_BYTES = 4096
SERIAL = KEYBOARD + KEYBOARD_BYTES  # metal.serial
SERIAL_BYTES = 8192
DISPLAY = SERIAL + SERIAL_BYTES  # metal.display
DISPLAY_BYTES = 4096
CHAT = DISPLAY + DISPLAY_BYTES  # metal.conversation: its words and turns
CHAT_BYTES = 20480
TYPED = CHAT + CHAT_BYTES  # and what was typed
TYPED_BYTES = 81920
SYSTEM = TYPED + TYPED_BYTES  # a system text given in the conversation
SYSTEM_BYTES = 16384
STOPS = SYSTEM + SYSTEM_BYTES  # texts that end an answer, given in the conversation; and one that may be beginning
STOPS_BYTES = 2048
NAMES = STOPS + STOPS_BYTES  # file names, in UTF-16
NAMES_BYTES = 8192
SCRATCH = 1 << 18


@metal
def open_workspace(fw: Firmware) -> int:
    """The address of the workspace, zeroed and already counted: below 4 GiB, where every disk controller can write."""
    n_pages = layout.WORKSPACE // layout.PAGE
    address = allocate_low_pages(fw, n_pages)
    if address == 0:
        address = allocate_pages(fw, n_pages)
    if address == 0:
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, "the firmware has not even two MiB of memory to give",
                      "Start on a machine with more memory.")
    fill_bytes(address, 0, layout.WORKSPACE)
    b = i64_array(memory(address + BOARD, board.BYTES), 0, board.WORDS)
    b[board.MEMORY] = layout.WORKSPACE
    publish_interface(fw, uefi.BARELM_WORKSPACE, address)
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
def give_back_model(fw: Firmware, b: I64, header: I64) -> None:
    """Return the pages of weights and state to the firmware."""
    if b[board.WHOLE] != 0:
        give(fw, b, b[board.WHOLE], header[layout.FILE_BYTES])
    else:
        for section in range(layout.SECTIONS):
            at = layout.SECTION_TABLE + section * layout.SECTION_WORDS
            if b[board.SECTIONS + section] != 0:
                give(fw, b, b[board.SECTIONS + section], header[at + layout.BYTES])
    if b[board.STATE] != 0:
        give(fw, b, b[board.STATE], header[layout.STATE_BYTES])
    for word in range(board.STATE, board.WHOLE + 1):
        b[word] = 0


@metal
def give(fw: Firmware, b: I64, address: int, n_bytes: int) -> None:
    """Return what was taken."""
    free_pages(fw, address, padded(n_bytes, layout.PAGE) // layout.PAGE)
    b[board.MEMORY] -= padded(n_bytes, layout.PAGE)


@metal
def give_back(fw: Firmware, workspace: int) -> None:
    """Return the workspace, the board with it."""
    withdraw_interface(fw, uefi.BARELM_WORKSPACE, workspace)
    free_pages(fw, workspace, layout.WORKSPACE // layout.PAGE)
