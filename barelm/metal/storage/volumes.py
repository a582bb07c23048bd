"""The volume with the model: found at the start, and again after it was gone for a moment."""

from barelm.contract import uefi
from barelm.contract.regions import Workspace
from barelm.contract.storage_state import ModelVolume
from barelm.dialect.memory import address_of, copy_bytes, text
from barelm.dialect.rooms import Failure
from barelm.dialect.types import U16
from barelm.metal.storage.model_menu import list_models
from barelm.metal.storage.whole_files import close_open
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.file_protocol import open_file, open_volume, own_device
from barelm.metal.uefi.handles import handle_with
from barelm.metal.uefi.network.web_files import LISTED, open_web


def volume_in(workspace: Workspace) -> ModelVolume:
    """The volume in use."""
    return workspace.volume


def find_volume(fw: Firmware, workspace: Workspace) -> ModelVolume:
    """The volume the program was started from, which is a server's folder after a start over the network; where it has
    no model, the first that has one.  Raises where there is no volume at all.
    """
    v = workspace.volume
    own = open_volume(fw, own_device(fw))
    v.root = own if own != 0 else open_web(fw, workspace.web, own_device(fw))
    if own > 0 and list_models(workspace, own).n > 0 or own == 0 and has_model(v.root, text(LISTED)):
        return v
    k = 0
    device = handle_with(fw, uefi.SIMPLE_FILE_SYSTEM_PROTOCOL, k)
    while device != 0:
        root = open_volume(fw, device)
        if root > 0 and list_models(workspace, root).n > 0:
            close_open(v.root)
            v.root = root
            return v
        close_open(root)
        k += 1
        device = handle_with(fw, uefi.SIMPLE_FILE_SYSTEM_PROTOCOL, k)
    if v.root > 0:
        return v
    if v.root < 0 and own == 0:
        raise Failure(uefi.EFI_DEVICE_ERROR, "the server this was started from over the network cannot be reached",
                      "Serve its folder by HTTP at the same address, and start again.")
    if own < 0:
        raise Failure(uefi.EFI_DEVICE_ERROR, "the firmware reports an error where the volume it started this from is "
                      "opened", "Start again, or try another stick or port.")
    if own == 0:
        raise Failure(uefi.EFI_UNSUPPORTED, "the firmware shows no file system on the volume it started this from",
                      "Start from a FAT32 volume, as `barelm image` writes it.")
    return v


def note_model(workspace: Workspace, name: U16) -> None:
    """Keep by what file the volume is to be known again."""
    copy_bytes(address_of(workspace.volume.model), address_of(name), 2 * len(name))


def refresh_volume(fw: Firmware, v: ModelVolume) -> None:
    """Where the root can no longer be opened from, open the volume anew: the one that has our model.

    A stick that was out for a moment comes back as another handle, or its old handles fail for ever.
    """
    if v.model[0] == 0 or has_model(v.root, v.model):
        return
    found = open_volume(fw, own_device(fw))
    k = 0
    while not has_model(found, v.model):
        close_open(found)
        device = handle_with(fw, uefi.SIMPLE_FILE_SYSTEM_PROTOCOL, k)
        if device == 0:
            return
        found = open_volume(fw, device)
        k += 1
    close_open(v.root)
    v.root = found


def close_volume(workspace: Workspace) -> None:
    """Close its root."""
    close_open(workspace.volume.root)
    workspace.volume.root = 0


def has_model(root: int, name: U16) -> bool:
    """Whether a volume that is open has a file."""
    file = open_file(root, name) if root > 0 else 0
    close_open(file)
    return file > 0
