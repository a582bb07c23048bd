"""All memory of the program: workspace, weights, state.  Allocated once, counted on the board, freed at the end."""

from typing import NamedTuple

from barelm.contract import layout, uefi
from barelm.contract.board import Figures, LoadedModel
from barelm.contract.layout import Header
from barelm.contract.regions import CHILD, EVENT, EXCLUSIVE, PAGES, Ledger, Workspace
from barelm.contract.uefi_protocols import MemoryDescriptor
from barelm.dialect.memory import address_of, fill_bytes, memory
from barelm.dialect.rooms import Failure
from barelm.dialect.types import U8, padded
from barelm.metal.uefi.boot_services import (
    Firmware,
    allocate_low_pages,
    allocate_pages,
    allocate_pages_at,
    free_pages,
    keep_account,
    memory_map,
)
from barelm.metal.uefi.handles import close_exclusive, publish_interface, withdraw_interface
from barelm.metal.uefi.network.service_binding import destroy_child
from barelm.metal.uefi.timers import close_event

LOWEST = 16 << 20
"""No address below is asked for: what is there a firmware needs to start processors, and for devices of old."""


class FreeMemory(NamedTuple):
    """What the firmware has to give, in bytes; all zero where it does not say."""

    total: int
    largest: int  # piece
    pieces: int


def open_workspace(fw: Firmware) -> Workspace:
    """The workspace, zeroed: below 4 GiB, where every disk controller can write."""
    n_pages = layout.WORKSPACE // layout.PAGE
    address = allocate_low_pages(fw, n_pages)
    if address == 0:
        address = allocate_pages(fw, n_pages)
    if address == 0:
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, "the firmware has not even four MiB of memory to give",
                      "Start on a machine with more memory.")
    fill_bytes(address, 0, layout.WORKSPACE)
    workspace = Workspace(address)
    publish_interface(fw, uefi.BARELM_WORKSPACE, address)
    return workspace


def accountable(fw: Firmware, workspace: Workspace) -> Firmware:
    """The firmware, what is taken from now on noted in the workspace's ledger."""
    return keep_account(fw, workspace.ledger.address)


def map_buffer(workspace: Workspace) -> U8:
    """Where the firmware's memory map is put to be looked at."""
    return workspace.memory_map


def free_memory(fw: Firmware, found: U8) -> FreeMemory:
    """What the memory map, which goes into `found`, has free."""
    n_bytes, step = memory_map(fw, found)
    total = largest = pieces = 0
    for at in range(0, n_bytes, step):
        descriptor = MemoryDescriptor(address_of(found) + at)
        if descriptor.type == uefi.CONVENTIONAL_MEMORY:
            size = descriptor.number_of_pages * layout.PAGE
            total += size
            largest = max(largest, size)
            pieces += 1
    return FreeMemory(total, largest, pieces)


def best_place(fw: Firmware, found: U8, n_bytes: int) -> int:
    """The end of the smallest free piece of memory that n bytes, whole pages, fit into; 0: none is known."""
    map_bytes, step = memory_map(fw, found)
    place = smallest = 0
    for at in range(0, map_bytes, step):
        descriptor = MemoryDescriptor(address_of(found) + at)
        size = descriptor.number_of_pages * layout.PAGE
        fits = descriptor.type == uefi.CONVENTIONAL_MEMORY and size >= n_bytes and descriptor.physical_start >= LOWEST
        if fits and (place == 0 or size < smallest):
            smallest = size
            place = descriptor.physical_start + size - n_bytes
    return place


def take(fw: Firmware, figures: Figures, n_bytes: int) -> int:
    """The address of n bytes in whole pages, counted; 0 where the firmware refuses."""
    return take_at(fw, figures, n_bytes, 0)


def take_at(fw: Firmware, figures: Figures, n_bytes: int, place: int) -> int:
    """The same at a place, if that is not 0 and the firmware gives it."""
    n_pages = padded(n_bytes, layout.PAGE) // layout.PAGE
    address = allocate_pages_at(fw, place, n_pages) if place != 0 else 0
    if address == 0:
        address = allocate_pages(fw, n_pages)
    if address != 0:
        figures.memory += n_pages * layout.PAGE
    return address


def take_model(fw: Firmware, model: LoadedModel, figures: Figures, header: Header, found: U8) -> bool:
    """Room for a model, its state zeroed; False where there is not enough, and then nothing is taken.

    For the sections one block for the whole file; where no piece of free memory is so large, a block each.
    """
    model.header = header.address
    model.whole = take(fw, figures, header.file_bytes)
    if model.whole != 0:
        for section in range(header.n_sections):
            model.sections[section] = model.whole + header.sections[section].offset
        model.state = take(fw, figures, header.state_bytes)
        if model.state == 0:
            give_back_model(fw, model, figures, header)
            model.header = header.address
    if model.whole == 0 and not take_pieces(fw, model, figures, header, found):
        give_back_model(fw, model, figures, header)
        return False
    fill_bytes(model.state, 0, header.state_bytes)
    return True


def take_pieces(fw: Firmware, model: LoadedModel, figures: Figures, header: Header, found: U8) -> bool:
    """A block for the state and for each section, the largest first, each in the smallest piece of memory it fits
    into; False where one fits nowhere.
    """
    while True:
        largest = header.state_bytes if model.state == 0 else 0
        number = -1
        for section in range(header.n_sections):
            n_bytes = header.sections[section].n_bytes
            if model.sections[section] == 0 and n_bytes > largest:
                largest = n_bytes
                number = section
        if largest == 0:
            return True
        address = take_at(fw, figures, largest, best_place(fw, found, padded(largest, layout.PAGE)))
        if address == 0:
            return False
        if number < 0:
            model.state = address
        else:
            model.sections[number] = address


def largest_piece(header: Header) -> int:
    """Bytes of the largest block that `take_pieces` takes."""
    largest = header.state_bytes
    for section in range(header.n_sections):
        largest = max(largest, header.sections[section].n_bytes)
    return largest


def give_back_model(fw: Firmware, model: LoadedModel, figures: Figures, header: Header) -> None:
    """Return the pages of weights and state to the firmware."""
    for section in range(header.n_sections):
        if model.whole == 0:
            give(fw, figures, model.sections[section], header.sections[section].n_bytes)
    give(fw, figures, model.whole, header.file_bytes)
    give(fw, figures, model.state, header.state_bytes)
    fill_bytes(model.address, 0, LoadedModel.BYTES)


def give(fw: Firmware, figures: Figures, address: int, n_bytes: int) -> None:
    """Return what was taken; 0: nothing was."""
    if address != 0:
        free_pages(fw, address, padded(n_bytes, layout.PAGE) // layout.PAGE)
        figures.memory -= padded(n_bytes, layout.PAGE)


def give_back(fw: Firmware, workspace: Workspace) -> None:
    """Return all that is noted, and then the workspace, the ledger with it."""
    give_all_back(fw, workspace.ledger)
    withdraw_interface(fw, uefi.BARELM_WORKSPACE, workspace.address)
    free_pages(fw, workspace.address, layout.WORKSPACE // layout.PAGE)


def give_all_back(fw: Firmware, ledger: Ledger) -> None:
    """Walk the ledger backwards; what the firmware does not take back is struck out all the same.

    Children of the network go first: what is under way on them is signaled and written into the rest.
    """
    for k in range(ledger.n - 1, -1, -1):
        if ledger.holdings[k].kind == CHILD:
            destroy_child(fw, ledger.holdings[k].which, ledger.holdings[k].what)
    for k in range(ledger.n - 1, -1, -1):
        holding = ledger.holdings[k]
        if holding.kind == PAGES:
            free_pages(fw, holding.what, holding.which)
        elif holding.kind == EVENT:
            close_event(fw, holding.what)
        elif holding.kind == EXCLUSIVE:
            close_exclusive(fw, holding.what, memory(holding.which, 16))
    ledger.n = 0
