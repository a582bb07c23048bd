"""START HERE: `efi_main`, from power-on to the last word."""

from barelm.contract import layout, uefi
from barelm.contract.board import Board
from barelm.contract.console_state import ConsoleState
from barelm.contract.failure_record import FailureRecord
from barelm.contract.layout import DEFAULT_MAX_CORES, Header
from barelm.contract.regions import Workspace
from barelm.contract.settings import AT_END_RESTART, AT_END_RETURN, AT_END_SHUTDOWN, SettingsView
from barelm.dialect.memory import address_of, cells, text
from barelm.dialect.processor import N_LEVELS, NO_LEVEL, TOO_OLD, TOO_OLD_HINT, cpu_level
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.metal import arena
from barelm.metal.console import sinks
from barelm.metal.console.sinks import CONSOLE_WORDS, Console
from barelm.metal.console.writing import put, put_text
from barelm.metal.conversation import completion, dialogue, saved_sessions, summary
from barelm.metal.conversation.slash_commands import ANOTHER_MODEL, LEAVE, RESTART, SWITCH_OFF
from barelm.metal.conversation.talk import Talk, open_talk, under_test
from barelm.metal.conversation.turns import forget
from barelm.metal.keys.keyboard import close_keyboard, open_keyboard, wait_for_key
from barelm.metal.measuring import clock, figures, greeting, selftest
from barelm.metal.processors.cores import gather_team, ready_core, rest_team, send_home, wake_team, weigh_cores
from barelm.metal.processors.lost_core import LOST_MS
from barelm.metal.storage import configuration, model_loader, model_menu, model_parts
from barelm.metal.uefi.boot_services import Firmware, disable_watchdog, open_firmware, stall
from barelm.metal.uefi.file_protocol import close_file, open_file, open_own_volume, read_file
from barelm.metal.uefi.handles import protocol_of
from barelm.metal.uefi.mp_services import find_give_way
from barelm.metal.uefi.runtime_services import reset_system

FAILURE_WAIT_S = 30


def efi_main(image: int, table: int) -> int:
    """From power-on to the last word; returns the status the firmware is given (UEFI specification 4.1)."""
    fw = open_firmware(image, table)
    disable_watchdog(fw)
    workspace = arena.open_workspace(fw)
    fw = arena.accountable(fw, workspace)
    b = workspace.board
    b.image, b.table, b.ledger = fw.image, fw.table, fw.ledger
    b.figures.memory = layout.WORKSPACE
    root = find_volume(fw)
    read_configuration(fw, workspace, b, root)
    b.figures.cycles_per_ms = clock.cycles_per_ms(fw)
    b.pace.limit = LOST_MS * b.figures.cycles_per_ms
    b.pace.give_way, b.pace.at_once = find_give_way(fw)
    b.job.level = find_level(b.settings)
    b.figures.clock = ready_core(b.job, b.settings)

    con = sinks.open_console(fw, b.settings, b.figures, workspace)
    greeting.greet(con, b.settings, workspace)
    ending = ANOTHER_MODEL
    while ending == ANOTHER_MODEL:
        header = load_chosen_model(con, b, workspace, root)
        call_team(fw, b, header.max_cores)
        t = open_talk(con, b, workspace, root)
        ending = run_model(t)
        if ending != ANOTHER_MODEL:
            summary.summarise(t)
        rest_team(b.job, b.figures.cycles_per_ms)
        arena.give_back_model(fw, b.model, b.figures, header)
    return farewell(con, b, workspace, root, ending)


def load_chosen_model(con: Console, b: Board, workspace: Workspace, root: int) -> Header:
    """The header of the model of the volume, or of that which a person chooses, when all of it is in memory."""
    models = model_menu.list_models(workspace, root)
    parts = model_parts.parts_in(workspace)
    free = arena.free_memory(con.fw, arena.map_buffer(workspace)).total
    model_menu.judge_models(models, parts, root, b.settings, free)
    keyboard = open_keyboard(con, b.settings, b.figures, workspace)
    chosen = model_menu.choose_model(con, keyboard, models, b, b.job.team > 0)
    header = model_loader.open_model(con, workspace, root, chosen.name)
    greeting.introduce(con, b.settings, header)
    model_loader.load_model(con, b, workspace, header)
    model_parts.close_parts(parts)
    return header


def call_team(fw: Firmware, b: Board, most: int) -> None:
    """Wake as many processors as there are, the configuration allows, and the model has room for."""
    if b.job.team == 0:
        b.job.team = gather_team(fw, b.job, b.settings.cores, b.figures.cycles_per_ms)
    wake_team(fw, b.job, b.settings.cores, b.figures.cycles_per_ms)
    b.job.n_cores = min(b.job.team, most, DEFAULT_MAX_CORES)
    weigh_cores(b.job)


def run_model(t: Talk) -> int:
    """What is configured, with the model that is loaded; returns how it ended, one of `slash_commands`."""
    forget(t.conversation)
    t.job.cached = 0
    t.figures.last_made = 0
    if t.settings.selftest != 0:
        if t.settings.report != 0:
            selftest.tell_example(t.con, under_test(t))
        else:
            figures.tell_selftest(t.con, under_test(t))
    if t.settings.prefix != 0:
        put(t.con, sentence("BARELM prefix {}\n", (saved_sessions.make_prefix(t),)))
        return LEAVE
    saved_sessions.take_up_prefix(t)
    if t.settings.chat != 0:
        return dialogue.hold_conversation(t)
    completion.complete_prompt(t)
    return LEAVE


def find_volume(fw: Firmware) -> int:
    """The root directory of the volume the program was started from."""
    root = open_own_volume(fw)
    if root == 0:
        raise Failure(uefi.EFI_UNSUPPORTED, "the firmware shows no file system on the volume it started this from",
                      "Start from a FAT32 volume, as `barelm image` writes it.")
    return root


def read_configuration(fw: Firmware, workspace: Workspace, b: Board, root: int) -> None:
    """The settings of barelm.toml; where there is none, the defaults."""
    target = workspace.configuration
    n_bytes = 0
    file = open_file(root, text("barelm.toml"))
    if file != 0:
        n_bytes = read_file(file, address_of(target), len(target))
        close_file(file)
        if n_bytes < 0:
            raise Failure(uefi.EFI_DEVICE_ERROR, "the disk reports an error while barelm.toml is read",
                          "Write the image again, or try another stick or port.")
    configuration.read_settings(fw, b.settings, target[:n_bytes], n_bytes)


def find_level(settings: SettingsView) -> int:
    """The CPU level to compute at, as high as the configuration allows."""
    level = cpu_level(settings.cpu - 1 if settings.cpu > 0 else N_LEVELS)
    if level == NO_LEVEL:
        raise Failure(uefi.EFI_UNSUPPORTED, TOO_OLD, TOO_OLD_HINT)
    return level


def farewell(con: Console, b: Board, workspace: Workspace, root: int, ending: int) -> int:
    """Wait for a reader, and leave as the configuration or the last command says."""
    close_file(root)
    at_end = b.settings.at_end
    if ending == SWITCH_OFF:
        at_end = AT_END_SHUTDOWN
    elif ending == RESTART:
        at_end = AT_END_RESTART
    return leave(con, workspace, uefi.EFI_SUCCESS, at_end, b.settings.wait if ending == LEAVE else 0)


def report_failure(image: int, table: int, failure: int) -> int:
    """The screen of a run that failed: what, what to do, where; returns the status."""
    fw = open_firmware(image, table)
    place = protocol_of(fw, image, uefi.BARELM_WORKSPACE)
    if place == 0:
        words = cells(CONSOLE_WORDS)
        con = sinks.plain_console(fw, ConsoleState(address_of(words)))
        status = greeting.say_failure(con, FailureRecord(failure))
        done(con, status, True)
        return status
    workspace = Workspace(place)
    fw = arena.accountable(fw, workspace)
    b = workspace.board
    con = sinks.bind_console(fw, workspace)
    if not sinks.is_open(con):
        con = sinks.open_console(fw, b.settings, b.figures, workspace)
    status = greeting.say_failure(con, FailureRecord(failure))
    return leave(con, workspace, status, AT_END_RETURN, FAILURE_WAIT_S)


def leave(con: Console, workspace: Workspace, status: int, at_end: int, seconds: int) -> int:
    """The one way out, after a success and after a failure: wait for a reader, send the team home, give everything
    back, and go on as `at_end` says; returns the status.

    Where a processor does not come home, all it may touch stays, this program too: then the machine starts anew.
    """
    fw = con.fw
    b = workspace.board
    home = send_home(fw, b.job, b.figures.cycles_per_ms)
    if not home:
        at_end = AT_END_RESTART
        put_text(con, text("A processor does not come back, so this machine starts anew.\n"))
    leave_keyboard(con, b, workspace, seconds)
    done(con, status, at_end == AT_END_RETURN)
    if home:
        model_parts.close_parts(model_parts.parts_in(workspace))
        model_loader.close_reads(fw, workspace)
        arena.give_back(fw, workspace)
    if at_end == AT_END_SHUTDOWN:
        reset_system(fw, uefi.RESET_SHUTDOWN, status)
    if at_end == AT_END_RESTART:
        reset_system(fw, uefi.RESET_COLD, status)
    while not home:
        stall(fw, 1000000)
    return status


def done(con: Console, status: int, returns: bool) -> None:
    """The last line, for whoever waits for it; the console goes back to the firmware."""
    sinks.close_screen(con)
    put(con, sentence("BARELM DONE {}\n", (status & 0xFFFF,)))
    sinks.flush(con)
    sinks.close_line(con, returns)


def leave_keyboard(con: Console, b: Board, workspace: Workspace, seconds: int) -> None:
    """Give a reader time, until a key is pressed or so many seconds are over, and the keyboard back."""
    keyboard = open_keyboard(con, b.settings, b.figures, workspace)
    if seconds > 0 and b.settings.report == 0:
        put_text(con, text("Press any key to go on."))
        sinks.flush(con)
        b.figures.cycles_per_ms = clock.cycles_per_ms(con.fw)
        wait_for_key(keyboard, seconds * 1000)
        put_text(con, text("\n"))
        sinks.flush(con)
    close_keyboard(keyboard)
