"""The model file into memory: header checked, sections read straight into place, every one's checksum verified.

Firmware differs in what it can read at once, and some disk controllers cannot write above 4 GiB: a read that fails is
tried again in smaller pieces, and at last through the workspace.  File offset and address stay congruent modulo a
page; firmware copies every sector once more where they are not.
"""

from __future__ import annotations

from barelm.contract import layout, uefi
from barelm.contract.board import Board
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.dialect.memory import address_of, cells, copy_bytes, memory, text, u64_array
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, U64, padded, u64
from barelm.kernels.checksum import extend_checksum
from barelm.kernels.header import CUT_SHORT, DAMAGED, NOT_A_MODEL, OTHER_VERSION, check_header
from barelm.metal import arena
from barelm.metal.console.sinks import ALARM, Console
from barelm.metal.console.stream import begin_input, put_code_point, show_input
from barelm.metal.console.writing import begin_text, end_text, put_megabytes, put_number, put_text, say_line
from barelm.metal.uefi.file_protocol import file_size, read_file, seek

CHUNK = 16 << 20
LEAST_CHUNK = 64 << 10
PROGRESS_MS = 250
BAR_CELLS = 24
FULL_BLOCK, LIGHT_SHADE = 0x2588, 0x2591  # between the full block and U+258F: seven eighths to one
LINE_BYTES = 1024

REPACK = "Pack the checkpoint again with `barelm pack` and copy it here."


@metal
def read_model_header(workspace: Workspace, file: int) -> Header:
    """The header of the model file, checked, in the workspace."""
    n_bytes = file_size(file)
    target = workspace.address + arena.HEADER
    if read_file(file, target, layout.HEADER_BYTES) != layout.HEADER_BYTES:
        raise Failure(uefi.EFI_VOLUME_CORRUPTED, "the model file is too short to be a model", REPACK)
    header = Header(target)
    words = cells(2)
    verdict = check_header(header, u64_array(memory(address_of(words), 16), 0, 2), n_bytes)
    if verdict == NOT_A_MODEL:
        raise Failure(uefi.EFI_UNSUPPORTED, "the model file is not a packed model", REPACK)
    if verdict == OTHER_VERSION:
        raise Failure(uefi.EFI_INCOMPATIBLE_VERSION, "the model file is packed for another version of barelm", REPACK)
    if verdict == DAMAGED:
        raise Failure(uefi.EFI_CRC_ERROR, "the header of the model file is damaged", REPACK)
    if verdict == CUT_SHORT:
        raise Failure(uefi.EFI_VOLUME_CORRUPTED, "the model file is cut short", REPACK)
    return header


@metal
def load_model(con: Console, workspace: Workspace, b: Board, header: Header, file: int) -> None:
    """Find room for the model and read every section; raises where memory, disk or file fail."""
    if not arena.take_weights(con.fw, b, header) or not arena.take_state(con.fw, b, header):
        put_text(con, text("This model takes "))
        put_megabytes(con, header.memory_bytes)
        say_line(con, ALARM, text(" of memory."))
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, "the firmware has not enough memory for this model",
                      "Take a smaller model, or a machine with more memory.")
    began = cycles()
    progress = cells(4)
    progress[0] = began
    progress[2] = began
    words = cells(2)
    sums = u64_array(memory(address_of(words), 16), 0, 2)
    begin_input(con)
    for section in range(header.n_sections):
        load_section(con, workspace, b, header, file, section, sums, progress)
    b.figures.load_cycles = cycles() - began
    if progress[1] != 0:
        show_input(con, memory(workspace.address, 0), 0, -1)


@metal
def load_section(con: Console, workspace: Workspace, b: Board, header: Header, file: int, section: int, sums: U64,
                 progress: I64) -> None:
    """Read one section chunk by chunk, summing each while the processor's caches still hold some of it.

    progress[0] is when the screen was last told, progress[1] whether it ever was, progress[2] when loading began.
    """
    entry = header.sections[section]
    n_bytes = entry.n_bytes
    sums[0] = u64(0)
    sums[1] = u64(0)
    done = 0
    while done < n_bytes:
        target = b.model.sections[section] + done
        n = min(CHUNK, padded(n_bytes, layout.PAGE) - done)
        read_chunk(workspace, file, entry.offset + done, target, n)
        extend_checksum(sums, memory(target, n), min(n, n_bytes - done))
        done += n
        show_progress(con, workspace, b, header, entry.offset + done, progress)
    if sums[0] != u64(entry.sum_a) or sums[1] != u64(entry.sum_b):
        raise Failure(uefi.EFI_CRC_ERROR, "the model file is damaged: a checksum does not match", REPACK)


@metal
def read_chunk(workspace: Workspace, file: int, offset: int, target: int, n_bytes: int) -> None:
    """n bytes from `offset` of the file to `target`, in ever smaller reads while the firmware refuses."""
    size = n_bytes
    done = 0
    bounce = False
    while done < n_bytes:
        n = min(size, n_bytes - done)
        place = target + done
        if bounce:
            place = workspace.address + arena.SCRATCH
        seek(file, offset + done)
        came = read_file(file, place, n)
        if came == n:
            if bounce:
                copy_bytes(target + done, place, n)
            done += n
        elif came >= 0:
            raise Failure(uefi.EFI_VOLUME_CORRUPTED, "the model file ends before its header says", REPACK)
        elif size > LEAST_CHUNK:
            size = max(size // 4, LEAST_CHUNK)
        elif not bounce:
            bounce = True
            size = min(n_bytes, 1 << 20)
        else:
            raise Failure(uefi.EFI_DEVICE_ERROR, "the disk reports an error while the model is read",
                          "Write the image again, or try another stick or port.")


@metal
def show_progress(con: Console, workspace: Workspace, b: Board, header: Header, done: int, progress: I64) -> None:
    """Now and then: a bar, how much is loaded, how fast, and how long it will take."""
    now = cycles()
    per_ms = b.figures.cycles_per_ms
    if b.settings.report != 0 or now - progress[0] < PROGRESS_MS * per_ms:
        return
    progress[0] = now
    progress[1] = 1
    whole = header.file_bytes
    buffer = memory(workspace.address + arena.NAMES, LINE_BYTES)
    begin_text(con, buffer)
    put_text(con, text("Loading "))
    eighths = done * 8 * BAR_CELLS // whole
    for cell in range(BAR_CELLS):
        filled = min(max(eighths - 8 * cell, 0), 8)
        put_code_point(con, LIGHT_SHADE if filled == 0 else FULL_BLOCK + 8 - filled)
    put_text(con, text(" "))
    put_number(con, done * 100 // whole)
    put_text(con, text(" % of "))
    put_megabytes(con, whole)
    took_ms = max((now - progress[2]) // per_ms, 1)
    put_text(con, text(", "))
    put_number(con, done // took_ms // 1000)
    put_text(con, text(" MB/s, "))
    put_number(con, (whole - done) * took_ms // done // 1000 + 1)
    put_text(con, text(" s left"))
    show_input(con, buffer, end_text(con), -1)
