"""How fast a model is loaded, beside reading the same bytes and nothing else, in the same calls: one JSON line a bus.

    python bench/loading.py [--machines virtio,nvme,ahci,hosted] [--image out.img]

A program of its own loads a model of 440 MB as barelm does, checksums and progress included, then reads its file into
the same place in reads of the same size, in turn; and where the firmware has ReadEx (UEFI 13.5.8), it reads with two
reads under way and sums each part while the next is coming.  Rates are medians in MB (10^6 bytes) a second, shares
medians of the rounds; the first round fills the host's cache and does not count.  `--image` leaves a disk image behind
that measures a PC.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
from pathlib import Path

from shapes import random_checkpoint

from barelm.aot.linking.link import link
from barelm.aot.object import compile_story
from barelm.checkpoint.read import read_checkpoint
from barelm.contract import uefi
from barelm.contract.layout import Header
from barelm.contract.storage_state import ModelParts
from barelm.contract.uefi_protocols import BootServices, FileIoToken, FileProtocol
from barelm.dialect.memory import address_of, cells, crc32c, memory, text
from barelm.dialect.processor import call_efi, cycles
from barelm.dialect.rooms import metal
from barelm.dialect.sentences import sentence
from barelm.disk import write_image
from barelm.host_files import working_folder
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Machine, Spec
from barelm.machine.qemu import Qemu
from barelm.metal import arena
from barelm.metal.console import sinks
from barelm.metal.console.writing import put
from barelm.metal.main import report_failure
from barelm.metal.measuring.clock import cycles_per_ms
from barelm.metal.storage.configuration import read_configuration
from barelm.metal.storage.model_loader import CHUNK, header_in, load_model
from barelm.metal.storage.model_parts import close_parts, open_parts, parts_in
from barelm.metal.storage.volumes import find_volume
from barelm.metal.uefi.boot_services import Firmware, disable_watchdog, open_firmware
from barelm.metal.uefi.file_protocol import read_file, seek
from barelm.metal.uefi.runtime_services import reset_system
from barelm.metal.uefi.timers import close_event
from barelm.pack.writer import write_packed

ROUNDS = 10
MODEL = "110M"
MEMORY_MB = 1024
PATIENCE_S = 600
_LINE = re.compile(r"round of (\d+): (\d+) us, (\d+) us, (\d+) us\.")


@metal
def nobody(board: int) -> int:
    """No other processor is woken."""
    return board


@metal
def measure(image: int, table: int) -> int:
    """Load, read and read ahead in turn, a line a round; then switch off."""
    fw = open_firmware(image, table)
    disable_watchdog(fw)
    workspace = arena.open_workspace(fw)
    b = workspace.board
    root = find_volume(fw, workspace).root
    read_configuration(b.settings, workspace, root)
    b.figures.cycles_per_ms = cycles_per_ms(fw)
    con = sinks.open_console(fw, b.settings, b.figures, workspace)
    for _ in range(ROUNDS):
        header = header_in(workspace)
        open_parts(parts_in(workspace), root, text("model.blm"), header)
        load_model(con, b, workspace, header)
        # What is read lies in fresh pages too: some of them come into being only when they are first written.
        arena.give_back_model(fw, b.model, b.figures, header)
        arena.take_model(fw, b.model, b.figures, header, arena.map_buffer(workspace))
        began = cycles()
        came = read_through(parts_in(workspace), header, b.model.whole)
        read_took = (cycles() - began) * 1000 // b.figures.cycles_per_ms
        began = cycles()
        ahead = read_ahead(fw, parts_in(workspace).files[0], header, b.model.whole)
        ahead_took = (cycles() - began) * 1000 // b.figures.cycles_per_ms if ahead == header.file_bytes else 0
        close_parts(parts_in(workspace))
        arena.give_back_model(fw, b.model, b.figures, header)
        put(con, sentence("\nround of {}: {} us, {} us, {} us.\n", (
            came, b.figures.load_cycles * 1000 // b.figures.cycles_per_ms, read_took, ahead_took)))
    put(con, sentence("\nBARELM DONE 0\n", ()))
    sinks.flush(con)
    return reset_system(fw, uefi.RESET_SHUTDOWN, 0)


@metal
def read_through(parts: ModelParts, header: Header, target: int) -> int:
    """Read the model's one file to an address; returns how many bytes came."""
    done = 0
    came = 1
    seek(parts.files[0], 0)
    while done < header.file_bytes and came > 0:
        came = read_file(parts.files[0], target + done, min(CHUNK, header.file_bytes - done))
        done += max(came, 0)
    return done


@metal
def read_ahead(fw: Firmware, file: int, header: Header, target: int) -> int:
    """The same and sum it, two reads under way; how many bytes came, 0 where the firmware has no such reads."""
    if FileProtocol(file).revision < uefi.FILE_PROTOCOL_REVISION2:
        return 0
    events = cells(2)
    words = cells(8)
    crc = 0
    for k in range(2):
        call_efi(BootServices(fw.boot).create_event, (0, 0, 0, 0, address_of(events) + 8 * k))
    done = 0
    asked = 0
    status = seek(file, 0)
    while done < header.file_bytes and status == 0:
        while asked < header.file_bytes and asked < done + 2 * CHUNK and status == 0:
            token = FileIoToken(address_of(words) + FileIoToken.BYTES * (asked // CHUNK & 1))
            token.event = events[asked // CHUNK & 1]
            token.status = 0
            token.buffer_size = min(CHUNK, header.file_bytes - asked)
            token.buffer = target + asked
            status = call_efi(FileProtocol(file).read_ex, (file, token.address))
            asked += token.buffer_size
        token = FileIoToken(address_of(words) + FileIoToken.BYTES * (done // CHUNK & 1))
        while status == 0 and call_efi(BootServices(fw.boot).check_event, (token.event,)) & 0xFF == uefi.EFI_NOT_READY:
            pass
        status = status if status != 0 else token.status
        n = min(CHUNK, header.file_bytes - done)
        crc = crc32c(crc, memory(target + done, n), n)
        done += n
    for k in range(2):
        close_event(fw, events[k])
    return done if status == 0 else 0


def image_with(folder: Path) -> Path:
    """A disk image with the program and a model."""
    checkpoint, tokenizer = random_checkpoint(MODEL)
    write_packed(read_checkpoint(checkpoint, tokenizer), folder / "model.blm")
    image = folder / "loading.img"
    program = link(compile_story(measure, report_failure, nobody))
    write_image(image, {"EFI/BOOT/BOOTX64.EFI": program, "model.blm": folder / "model.blm"})
    return image


def rounds_on(machine: Machine, image: Path) -> list[tuple[float, ...]]:
    """Bytes a microsecond of every round but the first: loaded, read, read ahead."""
    shown = ""
    with machine.start(Spec(image, memory_mb=MEMORY_MB, cores=1)) as session:
        while "BARELM DONE" not in shown and (more := session.read(PATIENCE_S)):
            shown += more.decode()
    found = [tuple(map(int, line.groups())) for line in _LINE.finditer(shown)]
    if len(found) < ROUNDS:
        raise SystemExit(f"it ended early, with {session.status}: {shown[-500:]}")
    return [tuple(n_bytes / took if took else 0.0 for took in times) for n_bytes, *times in found[1:]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Load a model, and only read its file, in turn.")
    parser.add_argument("--machines", default="virtio,nvme,ahci,hosted")
    parser.add_argument("--image", type=Path, help="keep the disk image here, to boot a PC from")
    chosen = parser.parse_args()
    with working_folder() as folder:
        image = image_with(folder)
        if chosen.image:
            shutil.copyfile(image, chosen.image)
        for name in chosen.machines.split(","):
            found = rounds_on(Hosted() if name == "hosted" else Qemu(bus=name), image)
            load, read, ahead = (round(statistics.median(side)) for side in zip(*found))
            share = {what: round(statistics.median(one[k] / one[1] for one in found), 3)
                     for what, k in (("share", 0), ("ahead_share", 2))}
            print(json.dumps({"bench": "loading", "machine": name, "rounds": len(found), "load_mb_per_s": load,
                              "read_mb_per_s": read, "ahead_mb_per_s": ahead, **share}), flush=True)


if __name__ == "__main__":
    main()
