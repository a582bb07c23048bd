"""What the rooms of storage keep: names of files, the models of the volume, how far loading one is."""

from barelm.contract.layout import MOST_PARTS, NAME_WORDS, Header, PartHeader
from barelm.contract.uefi_protocols import FileIoToken
from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import I64, U8, U16

NAME_UNITS = 256
"""Of a path, the zero at its end included."""
MODEL_UNITS = 120
"""Of the name of a model's file."""
MOST_MODELS = 32
INFO_BYTES = 1024
MOST_COMPLAINTS = 12


class Names(Struct):
    """The path of a file, that of the one it is written under, and its name alone; how far writing it is."""

    path: U16 = room(NAME_UNITS)
    beside: U16 = room(NAME_UNITS)
    mark: U16 = room(NAME_UNITS)  # while this is there, the one beside is the whole one
    name: U16 = room(NAME_UNITS)
    info: U8 = room(INFO_BYTES)  # EFI_FILE_INFO
    file: int  # the one beside, open while it is written and compared
    step: int  # WRITING, COMPARING (`metal.storage.whole_files`); 0: neither yet
    n_bytes: int  # that were written, or compared
    status: int  # negative: what failed
    stays: int  # 1: the new one is whole, and could not get its name
    block: U8 = room(1 << 16)  # what is read to be compared


class ModelVolume(Struct):
    """The volume with the model."""

    root: int  # its root directory, open
    model: U16 = room(MODEL_UNITS)  # the name of the model loaded from it, with its zero


class Complaints(Struct):
    """What of the configuration is not understood, until there is a screen to say it on."""

    n: int  # lines,
    lines: I64 = room(MOST_COMPLAINTS)  # and the numbers of the first of them
    wide: int  # 1: it is UTF-16
    is_cut: int  # 1: it is longer than there is room for


class ModelEntry(Struct):
    """A model of the volume, with what its header says."""

    name: U16 = room(MODEL_UNITS)  # the file's, with its zero
    n_units: int  # of it, without
    file_bytes: int
    verdict: int  # one of kernels.header's or of metal.storage.model_menu's
    title: I64 = room(NAME_WORDS)  # what the model is called
    memory_bytes: int  # that it takes
    seq_len: int


class ModelList(Struct):
    """The models of the volume; and working space to look at them, and to show them."""

    n: int
    asked_for: int  # 1 + the number of the one a person asked for in a conversation; 0: none
    longest: int  # units of a name
    entries: Array[ModelEntry] = room(MOST_MODELS)
    header: Header  # of the one being looked at
    info: U8 = room(INFO_BYTES)  # EFI_FILE_INFO
    menu: U8 = room(1 << 14)  # the menu as a text


class ModelParts(Struct):
    """The files of one model, open; most have one."""

    root: int  # the directory they are in
    n: int
    files: I64 = room(MOST_PARTS)
    ends: I64 = room(MOST_PARTS)  # where in the model each ends
    name: U16 = room(MODEL_UNITS + 3)  # of the one opened last
    n_units: int  # of the first one's
    status: int  # of the failure there was last, or 0
    page: PartHeader  # of the one being looked at


class ReadsAhead(Struct):
    """Reads that are under way while an earlier part of the model is summed."""

    on: int  # 1: the firmware is asked for them
    asked: int  # bytes of the section that were asked for
    tokens: Array[FileIoToken] = room(2)
    patience: int  # cycles that one may take


class LoadProgress(Struct):
    """How far loading a model is."""

    began: int  # cycles then
    told: int  # cycles when the screen was last told; `began`: it never was
    per_ms: int  # cycles; 0: nobody is told
    most: int  # bytes the firmware is asked for at once
    bounces: int  # 1: it reads into the workspace only
    ahead: ReadsAhead
    line: U8 = room(1024)  # the progress as a text
