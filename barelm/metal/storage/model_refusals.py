"""Why a model cannot be loaded: said where another one can be chosen, and else what the program ends with."""

from barelm.contract import uefi
from barelm.contract.layout import Header
from barelm.contract.storage_state import ModelParts
from barelm.dialect.memory import text
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U16
from barelm.kernels.header import CUT_SHORT, DAMAGED, NOT_A_MODEL, OTHER_VERSION
from barelm.metal import arena
from barelm.metal.arena import FreeMemory
from barelm.metal.console.sinks import ALARM, Console
from barelm.metal.console.writing import say

SPOILT, STRANGE_TABLE, ENDS_EARLY, NO_ROOM, NO_PIECE = 86, 87, 88, 89, 90
DISK_FAILS, NOT_OPENED, TOO_SHORT, NO_PART, OTHER_PART = 91, 92, 93, 94, 95
"""More verdicts on a model, beside those of `kernels.header`."""

REPACK = "Pack the checkpoint again with `barelm pack` and copy it here."
RECOPY = "Copy the model here again with `barelm cp`, which copies all its files."
OTHER_DISK = "Write the image again, or try another stick or port."
MORE_MEMORY = "Take a smaller model, or a machine with more memory."

NOT_OPENED_WORDS = "the model file cannot be opened"
DISK_WORDS = "the disk reports an error while the model is read"
SHORT_WORDS = "the model file is too short to be a model"
NO_MODEL_WORDS = "the model file is not a packed model"
VERSION_WORDS = "the model file is packed for another version of barelm"
HEADER_WORDS = "the header of the model file is damaged"
CUT_WORDS = "the model file is cut short"
MISSING_WORDS = "a file of the model is missing"
OTHER_WORDS = "a file of the model is damaged, or of another one"
SPOILT_WORDS = "the model file is damaged: a checksum does not match"
TABLE_WORDS = "a table of the model holds what cannot be"
EARLY_WORDS = "the model file ends before its header says"
ROOM_WORDS = "the firmware has not enough memory for this model"
PIECE_WORDS = "no free memory is large enough in one piece for this model"


def reason_of(verdict: int) -> U16:
    """What is wrong, as a sentence begins or ends with it."""
    if verdict == NOT_OPENED:
        return text(NOT_OPENED_WORDS)
    if verdict == DISK_FAILS:
        return text(DISK_WORDS)
    if verdict == TOO_SHORT:
        return text(SHORT_WORDS)
    if verdict == NOT_A_MODEL:
        return text(NO_MODEL_WORDS)
    if verdict == OTHER_VERSION:
        return text(VERSION_WORDS)
    if verdict == CUT_SHORT:
        return text(CUT_WORDS)
    if verdict == NO_PART:
        return text(MISSING_WORDS)
    if verdict == SPOILT:
        return text(SPOILT_WORDS)
    if verdict == STRANGE_TABLE:
        return text(TABLE_WORDS)
    if verdict == ENDS_EARLY:
        return text(EARLY_WORDS)
    if verdict == NO_ROOM:
        return text(ROOM_WORDS)
    if verdict == NO_PIECE:
        return text(PIECE_WORDS)
    return text(HEADER_WORDS) if verdict == DAMAGED else text(OTHER_WORDS)


def refuse(verdict: int) -> None:
    """End the program with what is wrong and what to do."""
    if verdict == NOT_OPENED:
        raise Failure(uefi.EFI_NOT_FOUND, NOT_OPENED_WORDS, "Copy it to the volume again.")
    if verdict == DISK_FAILS:
        raise Failure(uefi.EFI_DEVICE_ERROR, DISK_WORDS, OTHER_DISK)
    if verdict == TOO_SHORT:
        raise Failure(uefi.EFI_VOLUME_CORRUPTED, SHORT_WORDS, REPACK)
    if verdict == NOT_A_MODEL:
        raise Failure(uefi.EFI_UNSUPPORTED, NO_MODEL_WORDS, REPACK)
    if verdict == OTHER_VERSION:
        raise Failure(uefi.EFI_INCOMPATIBLE_VERSION, VERSION_WORDS, REPACK)
    if verdict == DAMAGED:
        raise Failure(uefi.EFI_CRC_ERROR, HEADER_WORDS, REPACK)
    if verdict == CUT_SHORT:
        raise Failure(uefi.EFI_VOLUME_CORRUPTED, CUT_WORDS, REPACK)
    if verdict == NO_PART:
        raise Failure(uefi.EFI_NOT_FOUND, MISSING_WORDS, RECOPY)
    if verdict == SPOILT:
        raise Failure(uefi.EFI_CRC_ERROR, SPOILT_WORDS, REPACK)
    if verdict == STRANGE_TABLE:
        raise Failure(uefi.EFI_CRC_ERROR, TABLE_WORDS, REPACK)
    if verdict == ENDS_EARLY:
        raise Failure(uefi.EFI_VOLUME_CORRUPTED, EARLY_WORDS, REPACK)
    if verdict == NO_ROOM:
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, ROOM_WORDS, MORE_MEMORY)
    if verdict == NO_PIECE:
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, PIECE_WORDS, MORE_MEMORY)
    raise Failure(uefi.EFI_VOLUME_CORRUPTED, OTHER_WORDS, RECOPY)


def explain(con: Console, verdict: int, parts: ModelParts, header: Header, free: FreeMemory) -> None:
    """Say what a refusal has no room for: which file is meant, what the firmware said, how much memory is needed
    and how much there is.
    """
    if verdict == NO_PART:
        say(con, ALARM, sentence("This model goes on in {}, which is not on the volume.", (parts.name,)))
    elif verdict == OTHER_PART:
        say(con, ALARM, sentence("This model goes on in {}, but that file is not of this model.", (parts.name,)))
    elif verdict == DISK_FAILS:
        say(con, ALARM, sentence("The firmware reports error {} where {} is read.", (
            parts.status & 0xFFFF, parts.name)))
    elif verdict == NO_ROOM or verdict == NO_PIECE:
        say(con, ALARM, sentence("This model takes {:MB} of memory, {:MB} of it in one piece.", (
            header.memory_bytes, arena.largest_piece(header))))
        if free.total > 0:
            say(con, ALARM, sentence("There are {:MB} free; the largest of {} pieces has {:MB}.", (
                free.total, free.pieces, free.largest)))
