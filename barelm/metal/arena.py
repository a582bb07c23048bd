"""Every byte we own: a workspace, the weights, the state.  Taken once, counted on the board, given back at the end."""

from __future__ import annotations

from barelm.contract import layout, uefi
from barelm.contract.board import Board, LoadedModel
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
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

# Byte offsets and sizes of the regions of `contract.regions`, for those that do not take the field yet.
BOARD = Workspace.offset_of("board")
HEADER = Workspace.offset_of("header")
CONSOLE = Workspace.offset_of("console")
TEXT = Workspace.offset_of("configuration")
LINE = Workspace.offset_of("line")
HISTORY = Workspace.offset_of("history")
KEYBOARD = Workspace.offset_of("keyboard")
SERIAL = Workspace.offset_of("serial")
DISPLAY = Workspace.offset_of("display")
CHAT = Workspace.offset_of("turns")
TYPED = Workspace.offset_of("typed")
SYSTEM = Workspace.offset_of("system")
STOPS = Workspace.offset_of("stops")
NAMES = Workspace.offset_of("names")
SCRATCH = Workspace.offset_of("scratch")
TEXT_BYTES = Workspace.FIELDS["configuration"].n_bytes
LINE_BYTES = Workspace.FIELDS["line"].n_bytes
HISTORY_BYTES = Workspace.FIELDS["history"].n_bytes
KEYBOARD_BYTES = Workspace.FIELDS["keyboard"].n_bytes
SERIAL_BYTES = Workspace.FIELDS["serial"].n_bytes
DISPLAY_BYTES = Workspace.FIELDS["display"].n_bytes
CHAT_BYTES = Workspace.FIELDS["turns"].n_bytes
TYPED_BYTES = Workspace.FIELDS["typed"].n_bytes
SYSTEM_BYTES = Workspace.FIELDS["system"].n_bytes
STOPS_BYTES = Workspace.FIELDS["stops"].n_bytes
NAMES_BYTES = Workspace.FIELDS["names"].n_bytes


@metal
def open_workspace(fw: Firmware) -> Workspace:
    """The workspace, zeroed and already counted: below 4 GiB, where every disk controller can write."""
    n_pages = layout.WORKSPACE // layout.PAGE
    address = allocate_low_pages(fw, n_pages)
    if address == 0:
        address = allocate_pages(fw, n_pages)
    if address == 0:
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, "the firmware has not even four MiB of memory to give",
                      "Start on a machine with more memory.")
    fill_bytes(address, 0, layout.WORKSPACE)
    workspace = Workspace(address)
    workspace.board.figures.memory = layout.WORKSPACE
    publish_interface(fw, uefi.BARELM_WORKSPACE, address)
    return workspace


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
    for section in range(header.n_sections):
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
        for section in range(header.n_sections):
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
def give_back(fw: Firmware, workspace: Workspace) -> None:
    """Return the workspace, the board with it."""
    withdraw_interface(fw, uefi.BARELM_WORKSPACE, workspace.address)
    free_pages(fw, workspace.address, layout.WORKSPACE // layout.PAGE)
