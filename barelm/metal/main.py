"""START HERE: `efi_main`, from power-on to the last word."""

from __future__ import annotations

from barelm.dialect.memory import i64_array, load_i64, memory, text, u16_array
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, U16
from barelm.metal import arena, board, tables
from barelm.metal.chat import hold_conversation
from barelm.metal.clock import cycles_per_ms
from barelm.metal.config import read_settings
from barelm.metal.console import Console, open_console, write_number, write_utf8
from barelm.metal.cores import dismiss_team, gather_team
from barelm.metal.cpu import NO_LEVEL, cpu_level, enable_vectors
from barelm.metal.firmware import (
    Firmware,
    close_file,
    disable_watchdog,
    new_line,
    open_file,
    open_firmware,
    open_own_volume,
    output_string,
    read_file,
    read_key,
    reset_system,
    say,
    stall,
)
from barelm.metal.loader import load_model, read_model_header
from barelm.metal.story import summarise, tell_story
from barelm.pack import layout

FAILURE_WAIT_S = 30
POLL_US = 50000


@metal
def efi_main(image: int, table: int) -> int:
    """From power-on to the last word; returns the status the firmware is given (UEFI specification 4.1)."""
    fw = open_firmware(image, table)
    disable_watchdog(fw)
    workspace = arena.open_workspace(fw)
    b = i64_array(memory(workspace + arena.BOARD, board.BYTES), 0, board.WORDS)
    root = find_volume(fw)
    read_configuration(fw, workspace, b, root)
    b[board.CYCLES_PER_MS] = cycles_per_ms(fw)
    b[board.LEVEL] = find_level()
    enable_vectors(b[board.LEVEL])

    file = find_model(root)
    header = read_model_header(fw, workspace, file)
    con = open_console(fw, workspace + arena.CONSOLE)
    greet(con, b, header)
    load_model(fw, workspace, b, header, file)
    close_file(file)
    close_file(root)
    b[board.HEADER] = workspace + arena.HEADER
    b[board.N_CORES] = gather_team(fw, b, min_limit(b, header), b[board.CYCLES_PER_MS])

    if b[board.CHAT] != 0:
        hold_conversation(con, workspace, b, header)
    else:
        tell_story(con, workspace, b, header)
    summarise(con, b, header)
    dismiss_team(b)
    return farewell(fw, workspace, b, header)


@metal
def find_volume(fw: Firmware) -> int:
    """The root directory of the volume the program was started from."""
    root = open_own_volume(fw)
    if root == 0:
        raise Failure(tables.EFI_UNSUPPORTED, "the firmware shows no file system on the volume it started this from",
                      "Start from a FAT32 volume, as `barelm image` writes it.")
    return root


@metal
def read_configuration(fw: Firmware, workspace: int, b: I64, root: int) -> None:
    """The settings of barelm.toml; where there is none, the defaults."""
    target = workspace + arena.TEXT
    n_bytes = 0
    file = open_file(root, text("barelm.toml"))
    if file != 0:
        n_bytes = max(read_file(file, target, arena.TEXT_BYTES), 0)
        close_file(file)
    read_settings(fw, b, memory(target, n_bytes), n_bytes)


@metal
def find_level() -> int:
    """The CPU level to compute at."""
    level = cpu_level()
    if level == NO_LEVEL:
        raise Failure(tables.EFI_UNSUPPORTED, "this processor lacks SSE4.2 or POPCNT",
                      "Take a machine built after 2008 (Intel) or 2011 (AMD).")
    return level


@metal
def find_model(root: int) -> int:
    """The model file, open."""
    file = open_file(root, text("model.blm"))
    if file == 0:
        raise Failure(tables.EFI_NOT_FOUND, "there is no model.blm on this volume",
                      "Copy a packed model (`barelm pack`) there under that name.")
    return file


@metal
def min_limit(b: I64, header: I64) -> int:
    """The most cores to use: what the configuration allows and the model's state has room for."""
    most = header[layout.MAX_CORES]
    if b[board.CORES] > 0 and b[board.CORES] < most:
        return b[board.CORES]
    return most


@metal
def greet(con: Console, b: I64, header: I64) -> None:
    """Say who is speaking."""
    if b[board.REPORT] != 0:
        return
    say(con.fw, text("barelm: "))
    write_utf8(con, header[layout.NAME:layout.NAME + layout.NAME_WORDS])
    new_line(con.fw)
    new_line(con.fw)


@metal
def farewell(fw: Firmware, workspace: int, b: I64, header: I64) -> int:
    """Wait for a reader, give everything back, and do what the configuration says."""
    done(fw, tables.EFI_SUCCESS)
    if b[board.REPORT] == 0:
        pause_to_read(fw, b[board.WAIT_S], b[board.CYCLES_PER_MS])
    at_end = b[board.AT_END]
    arena.give_back(fw, workspace, b, header)
    if at_end == board.AT_END_SHUTDOWN:
        reset_system(fw, tables.RESET_SHUTDOWN, tables.EFI_SUCCESS)
    if at_end == board.AT_END_RESTART:
        reset_system(fw, tables.RESET_COLD, tables.EFI_SUCCESS)
    return tables.EFI_SUCCESS


@metal
def report_failure(image: int, table: int, failure: int) -> int:
    """The screen of a story that failed: what, what to do, where; returns the status.

    `failure` is the address of {status, message, hint, place} (see `aot.messages`).
    """
    fw = open_firmware(image, table)
    status = load_i64(failure)
    new_line(fw)
    say(fw, text("barelm stopped: "))
    output_string(fw, constant_at(load_i64(failure + 8)), 0)
    new_line(fw)
    output_string(fw, constant_at(load_i64(failure + 16)), 0)
    new_line(fw)
    say(fw, text("("))
    output_string(fw, constant_at(load_i64(failure + 24)), 0)
    say(fw, text(", status "))
    write_number(fw, status & 0xFFFF)
    say(fw, text(")"))
    new_line(fw)
    done(fw, status)
    pause_to_read(fw, FAILURE_WAIT_S, cycles_per_ms(fw))
    return status


@metal
def constant_at(address: int) -> U16:
    """A text placed in the program, as far as `output_string` is concerned."""
    return u16_array(memory(address, 2), 0, 1)


@metal
def done(fw: Firmware, status: int) -> None:
    """The last line, for whoever waits for it."""
    say(fw, text("BARELM DONE "))
    write_number(fw, status & 0xFFFF)
    new_line(fw)


@metal
def pause_to_read(fw: Firmware, seconds: int, per_ms: int) -> None:
    """Give a reader time: until a key is pressed, or so many seconds are over."""
    if seconds == 0:
        return
    say(fw, text("Press any key to go on."))
    deadline = cycles() + seconds * 1000 * per_ms
    while read_key(fw) == 0 and cycles() < deadline:
        stall(fw, POLL_US)
    new_line(fw)
