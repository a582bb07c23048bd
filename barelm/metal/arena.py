"""All memory of the program: workspace, weights, state.  Allocated once, counted on the board, freed at the end."""

from barelm.contract import layout, uefi
from barelm.contract.board import Figures, LoadedModel
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.dialect.memory import fill_bytes
from barelm.dialect.rooms import Failure
from barelm.dialect.types import padded
from barelm.metal.uefi.boot_services import Firmware, allocate_low_pages, allocate_pages, free_pages
from barelm.metal.uefi.handles import publish_interface, withdraw_interface


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


def take(fw: Firmware, figures: Figures, n_bytes: int) -> int:
    """The address of n bytes in whole pages, counted; 0 where the firmware refuses."""
    address = allocate_pages(fw, padded(n_bytes, layout.PAGE) // layout.PAGE)
    if address != 0:
        figures.memory += padded(n_bytes, layout.PAGE)
    return address


def take_model(fw: Firmware, model: LoadedModel, figures: Figures, header: Header) -> bool:
    """Room for a model; False where there is not enough.

    For the sections one block for the whole file, or a block each where the firmware refuses one so large; for the
    state one, zeroed.
    """
    whole = take(fw, figures, header.file_bytes)
    for section in range(header.n_sections):
        entry = header.sections[section]
        if whole != 0:
            model.sections[section] = whole + entry.offset
        elif entry.n_bytes > 0:
            model.sections[section] = take(fw, figures, entry.n_bytes)
            if model.sections[section] == 0:
                return False
    model.whole = whole
    model.state = take(fw, figures, header.state_bytes)
    if model.state != 0:
        fill_bytes(model.state, 0, header.state_bytes)
    return model.state != 0


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
    """Return the workspace, the board with it."""
    withdraw_interface(fw, uefi.BARELM_WORKSPACE, workspace.address)
    free_pages(fw, workspace.address, layout.WORKSPACE // layout.PAGE)
