"""Every byte we own: a workspace, the weights, the state.  Taken once, counted on the board, given back at the end."""

from __future__ import annotations

from barelm.contract import layout, uefi
from barelm.contract.board import Board, LoadedModel
from barelm.contract.layout import Header
from barelm.dialect.memory import fill_bytes
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import padded
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
    b = Board(address + BOARD)
    b.figures.memory = layout.WORKSPACE
    publish_interface(fw, uefi.BARELM_WORKSPACE, address)
    return address


@metal
def take(fw: Firmware, b: Board, n_bytes: int) -> int:
    """The address of n bytes in whole pages, counted; 0 where the firmware refuses."""
    address = allocate_pages(fw, padded(n_bytes, layout.PAGE) // layout.PAGE)
    if address != 0:
        b.figures.memory += padded(n_bytes, layout.PAGE)
    return address


@metal
def take_weights(fw: Firmware, b: Board, header: Header) -> bool:
    """Room for the sections: one block for the whole file, or a block each where the firmware refuses one so large."""
    whole = take(fw, b, header.file_bytes)
    for section in range(layout.SECTIONS):
        entry = header.sections[section]
        if whole != 0:
            b.model.sections[section] = whole + entry.offset
        elif entry.n_bytes > 0:
            b.model.sections[section] = take(fw, b, entry.n_bytes)
            if b.model.sections[section] == 0:
                return False
    b.model.whole = whole
    return True


@metal
def take_state(fw: Firmware, b: Board, header: Header) -> bool:
    """Room for the state, zeroed."""
    b.model.state = take(fw, b, header.state_bytes)
    if b.model.state == 0:
        return False
    fill_bytes(b.model.state, 0, header.state_bytes)
    return True


@metal
def give_back_model(fw: Firmware, b: Board, header: Header) -> None:
    """Return the pages of weights and state to the firmware."""
    if b.model.whole != 0:
        give(fw, b, b.model.whole, header.file_bytes)
    else:
        for section in range(layout.SECTIONS):
            entry = header.sections[section]
            if b.model.sections[section] != 0:
                give(fw, b, b.model.sections[section], entry.n_bytes)
    if b.model.state != 0:
        give(fw, b, b.model.state, header.state_bytes)
    fill_bytes(b.model.address, 0, LoadedModel.BYTES)


@metal
def give(fw: Firmware, b: Board, address: int, n_bytes: int) -> None:
    """Return what was taken."""
    free_pages(fw, address, padded(n_bytes, layout.PAGE) // layout.PAGE)
    b.figures.memory -= padded(n_bytes, layout.PAGE)


@metal
def give_back(fw: Firmware, workspace: int) -> None:
    """Return the workspace, the board with it."""
    withdraw_interface(fw, uefi.BARELM_WORKSPACE, workspace)
    free_pages(fw, workspace, layout.WORKSPACE // layout.PAGE)
