"""The model file into memory: header checked, sections read straight into place, every one's checksum verified.

Firmware differs in what it can read at once, and some disk controllers cannot write above 4 GiB: a read that fails is
tried again in smaller pieces, and at last through the workspace; what was refused once is not asked for again.  File
offset and address stay congruent modulo a page; firmware copies every sector once more where they are not.
"""

from typing import NamedTuple

from barelm.contract import layout, uefi
from barelm.contract.board import Board, LoadedModel
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.contract.storage_state import LoadProgress, ModelParts
from barelm.dialect.memory import address_of, copy_bytes, memory, text
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, U16, padded, u64
from barelm.kernels.checksum import extend_checksum
from barelm.kernels.decoder.model import layers_of
from barelm.kernels.header import CUT_SHORT, DAMAGED, NOT_A_MODEL, OTHER_VERSION, SOUND, layers_are_sane
from barelm.metal import arena
from barelm.metal.arena import FreeMemory
from barelm.metal.console.sinks import ALARM, Console
from barelm.metal.console.stream import begin_input, put_code_point, show_input
from barelm.metal.console.writing import begin_text, end_text, put, put_text, say
from barelm.metal.storage.model_parts import NO_PART, NOT_OPENED, TOO_SHORT, open_parts, parts_in, read_part
from barelm.metal.storage.reads_ahead import MOST_AHEAD, came_ahead, close_ahead, open_ahead, start_ahead
from barelm.metal.uefi.boot_services import Firmware

CHUNK = 16 << 20
AHEAD_CHUNK = CHUNK  # of reads under way
LEAST_CHUNK = 64 << 10
PROGRESS_MS = 250
BAR_CELLS = 24
FULL_BLOCK, LIGHT_SHADE = 0x2588, 0x2591  # between the full block and U+258F: seven eighths to one

REPACK = "Pack the checkpoint again with `barelm pack` and copy it here."
RECOPY = "Copy the model here again with `barelm cp`, which copies all its files."
MORE_MEMORY = "Take a smaller model, or a machine with more memory."


class Loading(NamedTuple):
    """A model on its way into memory."""

    con: Console
    parts: ModelParts
    header: Header
    model: LoadedModel
    progress: LoadProgress
    bounce: U8  # where every disk controller can write


def open_model(con: Console, workspace: Workspace, root: int, name: U16) -> Header:
    """The header of a model, checked, in the workspace; its files are open.  Raises where something is wrong."""
    header = workspace.header
    parts = parts_in(workspace)
    verdict = open_parts(parts, root, name, header)
    if verdict == NOT_OPENED:
        raise Failure(uefi.EFI_NOT_FOUND, "the model file cannot be opened", "Copy it to the volume again.")
    if verdict == TOO_SHORT:
        raise Failure(uefi.EFI_VOLUME_CORRUPTED, "the model file is too short to be a model", REPACK)
    if verdict == NOT_A_MODEL:
        raise Failure(uefi.EFI_UNSUPPORTED, "the model file is not a packed model", REPACK)
    if verdict == OTHER_VERSION:
        raise Failure(uefi.EFI_INCOMPATIBLE_VERSION, "the model file is packed for another version of barelm", REPACK)
    if verdict == DAMAGED:
        raise Failure(uefi.EFI_CRC_ERROR, "the header of the model file is damaged", REPACK)
    if verdict == CUT_SHORT:
        raise Failure(uefi.EFI_VOLUME_CORRUPTED, "the model file is cut short", REPACK)
    if verdict == NO_PART:
        say(con, ALARM, sentence("This model goes on in {}, which is not on the volume.", (parts.name,)))
        raise Failure(uefi.EFI_NOT_FOUND, "a file of the model is missing", RECOPY)
    if verdict != SOUND:
        say(con, ALARM, sentence("This model goes on in {}, but that file is not of this model.", (parts.name,)))
        raise Failure(uefi.EFI_VOLUME_CORRUPTED, "a file of the model is damaged, or of another one", RECOPY)
    return header


def load_model(con: Console, b: Board, workspace: Workspace, header: Header) -> None:
    """Find room for the model and read every section; raises where memory, disk or file fail."""
    model = b.model
    if not arena.take_model(con.fw, model, b.figures, header, arena.map_buffer(workspace)):
        refuse_for_memory(con, header, arena.free_memory(con.fw, arena.map_buffer(workspace)))
    b.job.slack = layout.WINDOW_SLACK if header.window_room > 0 else 0
    progress = workspace.progress
    progress.began = cycles()
    progress.told = progress.began
    progress.per_ms = b.figures.cycles_per_ms if b.settings.report == 0 else 0
    progress.most = CHUNK
    progress.bounces = 0
    open_ahead(con.fw, progress.ahead, b.figures.cycles_per_ms)
    begin_input(con)
    loading = Loading(con, parts_in(workspace), header, model, progress, workspace.bounce)
    for section in range(header.n_sections):
        if not load_section(loading, section):
            # Rather a slow model than none, where a firmware's reads ahead are at fault.
            ahead = progress.ahead.on
            progress.ahead.on = 0
            if ahead == 0 or not load_section(loading, section):
                raise Failure(uefi.EFI_CRC_ERROR, "the model file is damaged: a checksum does not match", REPACK)
    close_ahead(con.fw, progress.ahead)
    if not layers_are_sane(header, layers_of(header, model.sections)):
        raise Failure(uefi.EFI_CRC_ERROR, "the layers of the model are not described as they are", REPACK)
    b.figures.load_cycles = cycles() - progress.began
    if progress.told != progress.began:
        show_input(con, progress.line, 0, -1)


def close_reads(fw: Firmware, workspace: Workspace) -> None:
    """Give back what loading has of the firmware's, after a failure: the model's files are closed already."""
    close_ahead(fw, workspace.progress.ahead)


def refuse_for_memory(con: Console, header: Header, free: FreeMemory) -> None:
    """Say what a model needs and what there is, and raise."""
    say(con, ALARM, sentence("This model takes {:MB} of memory, {:MB} of it in one piece.", (
        header.memory_bytes, arena.largest_piece(header))))
    if free.total > 0:
        say(con, ALARM, sentence("There are {:MB} free; the largest of {} pieces has {:MB}.", (
            free.total, free.pieces, free.largest)))
    if free.total < header.memory_bytes:
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, "the firmware has not enough memory for this model", MORE_MEMORY)
    raise Failure(uefi.EFI_OUT_OF_RESOURCES, "no free memory is large enough in one piece for this model", MORE_MEMORY)


def load_section(loading: Loading, section: int) -> bool:
    """Read one section chunk by chunk, summing each while the next is on its way; whether the checksum matches."""
    entry = loading.header.sections[section]
    sums = loading.progress.sums
    sums[0] = u64(0)
    sums[1] = u64(0)
    ahead = loading.progress.ahead
    ahead.asked = 0
    size = AHEAD_CHUNK if ahead.on != 0 else CHUNK
    whole = padded(entry.n_bytes, layout.PAGE)
    done = 0
    while done < entry.n_bytes:
        target = loading.model.sections[section] + done
        n = min(size, whole - done)
        start_ahead(ahead, loading.parts, entry.offset, target - done, min(whole, done + MOST_AHEAD * size), size)
        if not came_ahead(loading.con.fw, ahead, done, n, size):
            read_chunk(loading, entry.offset + done, target, n)
            ahead.asked = max(ahead.asked, done + n)
        extend_checksum(sums, memory(target, n), min(n, entry.n_bytes - done))
        done += n
        show_progress(loading, entry.offset + done)
    return bool(sums[0] == u64(entry.sum_a) and sums[1] == u64(entry.sum_b))


def read_chunk(loading: Loading, offset: int, target: int, n_bytes: int) -> None:
    """n bytes from `offset` of the model to `target`; firmware may give less than it is asked for."""
    progress = loading.progress
    done = 0
    while done < n_bytes:
        place = target + done if progress.bounces == 0 else address_of(loading.bounce)
        asked = min(progress.most, n_bytes - done)
        came = read_part(loading.parts, offset + done, place, asked)
        if came == 0:
            raise Failure(uefi.EFI_VOLUME_CORRUPTED, "the model file ends before its header says", REPACK)
        if came < 0:
            ask_for_less(loading, asked)
        elif progress.bounces != 0:
            copy_bytes(target + done, place, came)
        done += max(came, 0)


def ask_for_less(loading: Loading, asked: int) -> None:
    """After a refusal: smaller reads from now on, then reads into the workspace; raises where these were small too."""
    progress = loading.progress
    if asked > LEAST_CHUNK:
        progress.most = max(asked // 4, LEAST_CHUNK)
    elif progress.bounces == 0:
        progress.bounces = 1
        progress.most = len(loading.bounce)
    else:
        raise Failure(uefi.EFI_DEVICE_ERROR, "the disk reports an error while the model is read",
                      "Write the image again, or try another stick or port.")


def show_progress(loading: Loading, done: int) -> None:
    """Now and then: a bar, how much is loaded, how fast, and how long it will take."""
    con, progress = loading.con, loading.progress
    now = cycles()
    if progress.per_ms == 0 or now - progress.told < PROGRESS_MS * progress.per_ms:
        return
    progress.told = now
    whole = loading.header.file_bytes
    took_ms = max((now - progress.began) // progress.per_ms, 1)
    begin_text(con, progress.line)
    put_text(con, text("Loading "))
    eighths = done * 8 * BAR_CELLS // whole
    for cell in range(BAR_CELLS):
        filled = min(max(eighths - 8 * cell, 0), 8)
        put_code_point(con, LIGHT_SHADE if filled == 0 else FULL_BLOCK + 8 - filled)
    put(con, sentence(" {} % of {:MB}, {} MB/s, {} s left", (
        done * 100 // whole, whole, done // took_ms // 1000, (whole - done) * took_ms // done // 1000 + 1)))
    show_input(con, progress.line, end_text(con), -1)
