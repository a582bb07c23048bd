"""The model file into memory: header checked, sections read straight into place, every one's checksum verified.

Firmware differs in what it can read at once, and some disk controllers cannot write above 4 GiB: a read that fails is
tried again in smaller pieces, and at last through the workspace.  File offset and address stay congruent modulo a
page; firmware copies every sector once more where they are not.
"""

from __future__ import annotations

from barelm.dialect.memory import address_of, cells, copy_bytes, i64_array, memory, text, u64_array
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, U64, padded, u64
from barelm.kernels.checksum import extend_checksum
from barelm.kernels.header import CUT_SHORT, DAMAGED, NOT_A_MODEL, OTHER_VERSION, check_header
from barelm.metal import arena, board, tables
from barelm.metal.console import write_number, write_ratio
from barelm.metal.firmware import Firmware, file_size, new_line, read_file, say, seek
from barelm.pack import layout

CHUNK = 16 << 20
LEAST_CHUNK = 64 << 10
PROGRESS_MS = 250
MEGA = 1000000

REPACK = "Pack the checkpoint again with `barelm pack` and copy it here."


@metal
def read_model_header(fw: Firmware, workspace: int, file: int) -> I64:
    """The header of the model file, checked, in the workspace."""
    n_bytes = file_size(file)
    target = workspace + arena.HEADER
    if read_file(file, target, layout.HEADER_BYTES) != layout.HEADER_BYTES:
        raise Failure(tables.EFI_VOLUME_CORRUPTED, "model.blm is too short to be a model", REPACK)
    header = i64_array(memory(target, layout.HEADER_BYTES), 0, layout.HEADER_WORDS)
    verdict = check_header(header, u64_array(memory(address_of(cells(2)), 16), 0, 2), n_bytes)
    if verdict == NOT_A_MODEL:
        raise Failure(tables.EFI_UNSUPPORTED, "model.blm is not a packed model", REPACK)
    if verdict == OTHER_VERSION:
        raise Failure(tables.EFI_INCOMPATIBLE_VERSION, "model.blm is packed for another version of barelm", REPACK)
    if verdict == DAMAGED:
        raise Failure(tables.EFI_CRC_ERROR, "the header of model.blm is damaged", REPACK)
    if verdict == CUT_SHORT:
        raise Failure(tables.EFI_VOLUME_CORRUPTED, "model.blm is cut short", REPACK)
    return header


@metal
def load_model(fw: Firmware, workspace: int, b: I64, header: I64, file: int) -> None:
    """Find room for the model and read every section; raises where memory, disk or file fail."""
    if not arena.take_weights(fw, b, header) or not arena.take_state(fw, b, header):
        say(fw, text("This model takes "))
        write_number(fw, (header[layout.MEMORY_BYTES] + MEGA - 1) // MEGA)
        say(fw, text(" MB of memory."))
        new_line(fw)
        raise Failure(tables.EFI_OUT_OF_RESOURCES, "the firmware has not enough memory for this model",
                      "Take a smaller model, or a machine with more memory.")
    began = cycles()
    progress = cells(2)
    progress[0] = began
    sums = u64_array(memory(address_of(cells(2)), 16), 0, 2)
    for section in range(layout.SECTIONS):
        load_section(fw, workspace, b, header, file, section, sums, progress)
    b[board.LOAD_CYCLES] = cycles() - began
    if progress[1] != 0:
        new_line(fw)
        new_line(fw)


@metal
def load_section(fw: Firmware, workspace: int, b: I64, header: I64, file: int, section: int, sums: U64,
                 progress: I64) -> None:
    """Read one section chunk by chunk, summing each while the processor's caches still hold some of it.

    progress[0] is when the screen was last told, progress[1] whether it ever was.
    """
    at = layout.SECTION_TABLE + section * layout.SECTION_WORDS
    n_bytes = header[at + layout.BYTES]
    sums[0] = u64(0)
    sums[1] = u64(0)
    done = 0
    while done < n_bytes:
        target = b[board.SECTIONS + section] + done
        n = min(CHUNK, padded(n_bytes, layout.PAGE) - done)
        read_chunk(fw, workspace, file, header[at + layout.OFFSET] + done, target, n)
        extend_checksum(sums, memory(target, n), min(n, n_bytes - done))
        done += n
        show_progress(fw, b, header, header[at + layout.OFFSET] + done, progress)
    if sums[0] != u64(header[at + layout.SUM_A]) or sums[1] != u64(header[at + layout.SUM_B]):
        raise Failure(tables.EFI_CRC_ERROR, "model.blm is damaged: a checksum does not match", REPACK)


@metal
def read_chunk(fw: Firmware, workspace: int, file: int, offset: int, target: int, n_bytes: int) -> None:
    """n bytes from `offset` of the file to `target`, in ever smaller reads while the firmware refuses."""
    size = n_bytes
    done = 0
    bounce = False
    while done < n_bytes:
        n = min(size, n_bytes - done)
        place = target + done
        if bounce:
            place = workspace + arena.SCRATCH
        seek(file, offset + done)
        came = read_file(file, place, n)
        if came == n:
            if bounce:
                copy_bytes(target + done, place, n)
            done += n
        elif came >= 0:
            raise Failure(tables.EFI_VOLUME_CORRUPTED, "model.blm ends before its header says", REPACK)
        elif size > LEAST_CHUNK:
            size = max(size // 4, LEAST_CHUNK)
        elif not bounce:
            bounce = True
            size = min(n_bytes, 1 << 20)
        else:
            raise Failure(tables.EFI_DEVICE_ERROR, "the disk reports an error while the model is read",
                          "Write the image again, or try another stick or port.")


@metal
def show_progress(fw: Firmware, b: I64, header: I64, done: int, progress: I64) -> None:
    """Now and then: how much is loaded, and how fast."""
    now = cycles()
    if b[board.REPORT] != 0 or now - progress[0] < PROGRESS_MS * b[board.CYCLES_PER_MS]:
        return
    progress[0] = now
    progress[1] = 1
    say(fw, text("\rLoading: "))
    write_number(fw, done * 100 // header[layout.FILE_BYTES])
    say(fw, text(" % of "))
    write_ratio(fw, header[layout.FILE_BYTES], MEGA)
    say(fw, text(" MB  "))

