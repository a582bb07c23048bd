"""START HERE: `efi_main`, from power-on to the last word."""

from __future__ import annotations

from barelm.contract import board, uefi
from barelm.contract.board import Board
from barelm.contract.regions import Workspace
from barelm.dialect.memory import cells, memory, text
from barelm.dialect.rooms import Failure, metal
from barelm.metal import arena
from barelm.metal.console.sinks import (
    CONSOLE_BYTES,
    Console,
    bind_console,
    close_line,
    close_screen,
    flush,
    is_open,
    open_console,
    plain_console,
)
from barelm.metal.console.writing import put_number, put_text
from barelm.metal.conversation.completion import measured, summarise, tell_story
from barelm.metal.conversation.dialogue import hold_conversation
from barelm.metal.conversation.saved_sessions import make_prefix, take_up_prefix
from barelm.metal.conversation.slash_commands import ANOTHER_MODEL, LEAVE, RESTART, SWITCH_OFF
from barelm.metal.conversation.talk import Talk, keyboard_of
from barelm.metal.conversation.turns import forget
from barelm.metal.keys.keyboard import close_keyboard, wait_for_key
from barelm.metal.measuring.clock import cycles_per_ms
from barelm.metal.measuring.figures import tell_selftest
from barelm.metal.measuring.greeting import greet, introduce, say_failure
from barelm.metal.measuring.selftest import tell_example
from barelm.metal.processors.cores import gather_team, rest_team, wake_team
from barelm.metal.processors.cpu import NO_LEVEL, cpu_level, enable_vectors
from barelm.metal.storage.configuration import read_settings
from barelm.metal.storage.model_loader import load_model, read_model_header
from barelm.metal.storage.model_menu import open_chosen_model
from barelm.metal.uefi.boot_services import Firmware, disable_watchdog, open_firmware
from barelm.metal.uefi.file_protocol import close_file, open_file, open_own_volume, read_file
from barelm.metal.uefi.handles import protocol_of
from barelm.metal.uefi.runtime_services import reset_system

FAILURE_WAIT_S = 30
CONSOLE_WORDS = CONSOLE_BYTES // 8


@metal
def efi_main(image: int, table: int) -> int:
    """From power-on to the last word; returns the status the firmware is given (UEFI specification 4.1)."""
    fw = open_firmware(image, table)
    disable_watchdog(fw)
    workspace = arena.open_workspace(fw)
    b = workspace.board
    root = find_volume(fw)
    read_configuration(fw, workspace, b, root)
    b.figures.cycles_per_ms = cycles_per_ms(fw)
    b.job.level = find_level()
    enable_vectors(b.job.level)

    con = open_console(fw, b, workspace)
    greet(con, b, workspace)
    b.job.team = 0
    ending = ANOTHER_MODEL
    while ending == ANOTHER_MODEL:
        file = open_chosen_model(con, b, workspace, root, b.job.team > 0)
        header = read_model_header(workspace, file)
        introduce(con, b, header)
        load_model(con, workspace, b, header, file)
        close_file(file)
        b.model.header = workspace.header.address
        if b.job.team == 0:
            b.job.team = gather_team(fw, b, b.settings.cores, b.figures.cycles_per_ms)
        wake_team(fw, b)
        b.job.n_cores = min(b.job.team, header.max_cores)
        t = Talk(con, b, header, workspace, root)
        ending = talk(t)
        if ending != ANOTHER_MODEL:
            summarise(t)
        rest_team(b)
        arena.give_back_model(fw, b, header)
    close_file(root)
    return farewell(con, b, workspace, ending)


@metal
def talk(t: Talk) -> int:
    """A conversation or a story with the model that is loaded; returns how it ended, one of `commands`."""
    forget(t)
    t.b.job.cached = 0
    t.b.figures.last_made = 0
    if t.b.settings.selftest != 0:
        if t.b.settings.report != 0:
            tell_example(t)
        else:
            tell_selftest(t)
    if t.b.settings.prefix != 0:
        measured(t.con.fw, text("prefix"), make_prefix(t))
        return LEAVE
    take_up_prefix(t)
    if t.b.settings.chat != 0:
        return hold_conversation(t)
    tell_story(t)
    return LEAVE


@metal
def find_volume(fw: Firmware) -> int:
    """The root directory of the volume the program was started from."""
    root = open_own_volume(fw)
    if root == 0:
        raise Failure(uefi.EFI_UNSUPPORTED, "the firmware shows no file system on the volume it started this from",
                      "Start from a FAT32 volume, as `barelm image` writes it.")
    return root


@metal
def read_configuration(fw: Firmware, workspace: Workspace, b: Board, root: int) -> None:
    """The settings of barelm.toml; where there is none, the defaults."""
    target = workspace.address + arena.TEXT
    n_bytes = 0
    file = open_file(root, text("barelm.toml"))
    if file != 0:
        n_bytes = read_file(file, target, arena.TEXT_BYTES)
        close_file(file)
        if n_bytes < 0:
            raise Failure(uefi.EFI_DEVICE_ERROR, "the disk reports an error while barelm.toml is read",
                          "Write the image again, or try another stick or port.")
    read_settings(fw, b, memory(target, n_bytes), n_bytes)


@metal
def find_level() -> int:
    """The CPU level to compute at."""
    level = cpu_level()
    if level == NO_LEVEL:
        raise Failure(uefi.EFI_UNSUPPORTED, "this processor lacks SSE4.2 or POPCNT",
                      "Take a machine built after 2008 (Intel) or 2011 (AMD).")
    return level


@metal
def farewell(con: Console, b: Board, workspace: Workspace, ending: int) -> int:
    """Wait for a reader, give everything back, and do what the configuration or the last command says."""
    fw = con.fw
    at_end = b.settings.at_end
    if ending == SWITCH_OFF:
        at_end = board.AT_END_SHUTDOWN
    elif ending == RESTART:
        at_end = board.AT_END_RESTART
    elif b.settings.report == 0:
        pause_to_read(con, b, b.settings.wait_s)
    close_keyboard(keyboard_of(con, b))
    done(con, uefi.EFI_SUCCESS, at_end == board.AT_END_RETURN)
    arena.give_back(fw, workspace)
    if at_end == board.AT_END_SHUTDOWN:
        reset_system(fw, uefi.RESET_SHUTDOWN, uefi.EFI_SUCCESS)
    if at_end == board.AT_END_RESTART:
        reset_system(fw, uefi.RESET_COLD, uefi.EFI_SUCCESS)
    return uefi.EFI_SUCCESS


@metal
def report_failure(image: int, table: int, failure: int) -> int:
    """The screen of a story that failed: what, what to do, where; returns the status."""
    fw = open_firmware(image, table)
    place = protocol_of(fw, image, uefi.BARELM_WORKSPACE)
    if place == 0:
        con = plain_console(fw, cells(CONSOLE_WORDS))
        status = say_failure(con, failure)
    else:
        workspace = Workspace(place)
        b = workspace.board
        con = bind_console(fw, workspace)
        if not is_open(con):
            con = open_console(fw, b, workspace)
        status = say_failure(con, failure)
        if b.settings.report == 0:
            pause_to_read(con, b, FAILURE_WAIT_S)
        close_keyboard(keyboard_of(con, b))
    done(con, status, True)
    return status


@metal
def done(con: Console, status: int, returns: bool) -> None:
    """The last line, for whoever waits for it; the console goes back to the firmware."""
    close_screen(con)
    put_text(con, text("BARELM DONE "))
    put_number(con, status & 0xFFFF)
    put_text(con, text("\n"))
    flush(con)
    close_line(con, returns)


@metal
def pause_to_read(con: Console, b: Board, seconds: int) -> None:
    """Give a reader time: until a key is pressed, or so many seconds are over."""
    if seconds == 0:
        return
    put_text(con, text("Press any key to go on."))
    flush(con)
    b.figures.cycles_per_ms = cycles_per_ms(con.fw)
    wait_for_key(keyboard_of(con, b), seconds * 1000)
    put_text(con, text("\n"))
    flush(con)
