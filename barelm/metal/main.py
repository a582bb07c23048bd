"""START HERE: `efi_main`, from power-on to the last word."""

from barelm.contract import layout, uefi
from barelm.contract.board import Board
from barelm.contract.console_state import ConsoleState
from barelm.contract.failure_record import FailureRecord
from barelm.contract.layout import DEFAULT_MAX_CORES, Header
from barelm.contract.regions import Workspace
from barelm.contract.settings import AT_END_RESTART, AT_END_RETURN, AT_END_SHUTDOWN, SettingsView
from barelm.contract.storage_state import ModelVolume
from barelm.dialect.memory import address_of, cells, text
from barelm.dialect.processor import N_LEVELS, NO_LEVEL, TOO_OLD, TOO_OLD_HINT, cpu_level
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U16
from barelm.kernels.header import SOUND
from barelm.metal import arena
from barelm.metal.console import sinks
from barelm.metal.console.sinks import ALARM, CONSOLE_WORDS, Console
from barelm.metal.console.writing import put, put_text, say
from barelm.metal.conversation import completion, dialogue, saved_sessions, summary
from barelm.metal.conversation.slash_commands import ANOTHER_MODEL, LEAVE, RESTART, SWITCH_OFF
from barelm.metal.conversation.talk import Talk, open_talk, under_test
from barelm.metal.conversation.turns import forget
from barelm.metal.keys.keyboard import close_keyboard, open_keyboard, wait_for_key
from barelm.metal.measuring import clock, figures, greeting, selftest
from barelm.metal.processors.cores import gather_team, ready_core, rest_team, send_home, wake_team, weigh_cores
from barelm.metal.processors.lost_core import LOST_MS
from barelm.metal.serving import node
from barelm.metal.storage import configuration, model_loader, model_menu, model_parts
from barelm.metal.storage.model_menu import judged_models
from barelm.metal.storage.model_refusals import reason_of, refuse
from barelm.metal.storage.volumes import close_volume, find_volume, note_model, refresh_volume
from barelm.metal.trust import bound_program, loaded_files, measured_boot
from barelm.metal.uefi.boot_services import Firmware, disable_watchdog, open_firmware, stall
from barelm.metal.uefi.handles import locate_protocol, protocol_of
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
    volume = find_volume(fw, workspace)
    configuration.read_configuration(b.settings, workspace, volume.root)
    bound_program.judge_configuration(fw, workspace, configuration.hash_in(workspace))
    b.figures.cycles_per_ms = clock.cycles_per_ms(fw)
    b.pace.limit = LOST_MS * b.figures.cycles_per_ms
    b.pace.give_way, b.pace.at_once = find_give_way(fw)
    b.job.level = find_level(b.settings)
    b.figures.clock = ready_core(b.job, b.settings)

    con = sinks.open_console(fw, b.settings, b.figures, workspace)
    greeting.greet(con, b.settings, workspace)
    configuration.complain(con, workspace)
    ending = ANOTHER_MODEL
    while ending == ANOTHER_MODEL:
        header = load_chosen_model(con, b, workspace, volume)
        call_team(fw, b, header.max_cores)
        t = open_talk(con, b, workspace)
        ending = run_model(t)
        if ending != ANOTHER_MODEL:
            summary.summarise(t)
        rest_team(b.job, b.figures.cycles_per_ms)
        arena.give_back_model(fw, b.model, b.figures, header)
    return farewell(con, b, workspace, ending)


def load_chosen_model(con: Console, b: Board, workspace: Workspace, volume: ModelVolume) -> Header:
    """The header of the model of the volume, or of that which a person chooses, when all of it is in memory.

    Where one cannot be loaded, another one can be chosen, if there is one.
    """
    refresh_volume(con.fw, volume)
    root = volume.root
    models = judged_models(con.fw, b.settings, workspace, root, 0)
    keyboard = open_keyboard(con, b.settings, b.figures, workspace)
    again = False
    while True:
        chosen = model_menu.choose_model(con, keyboard, models, b.settings, again)
        entry = models.entries[chosen]
        verdict = model_loader.load_file(con, b, workspace, root, entry.name)
        if verdict == SOUND:
            note_model(workspace, entry.name)
            models.asked_for = 0
            header = model_loader.header_in(workspace)
            judge_loaded(con, workspace, b, header, entry.name)
            return header
        entry.verdict = verdict
        if b.settings.report != 0 or models.entries[model_menu.usable_in_place(models, chosen)].verdict != SOUND:
            refuse(verdict)
        say(con, ALARM, sentence("{}: {}.\n", (entry.name, reason_of(verdict))))
        again = True


def judge_loaded(con: Console, workspace: Workspace, b: Board, header: Header, name: U16) -> None:
    """Have a signed program refuse a model, loaded just now, that it was not signed with; and a TPM note what is."""
    trust = loaded_files.trust_in(workspace)
    trust.has_model = 0
    if trust.bound != 0:
        loaded_files.say_hashing(con, b.settings, header)
        loaded_files.hash_model(trust, header, b.model)
        bound_program.check_model(trust, name, header)
    measured_boot.measure_loaded(con, workspace, b.settings, header, b.model, name)


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
    if t.settings.replay != 0:
        completion.replay_answer(t)
        return LEAVE
    if t.settings.serve != 0:
        return node.serve(t)
    saved_sessions.take_up_prefix(t)
    if t.settings.chat != 0 and t.settings.report != 0:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "a conversation cannot be reported to a program",
                      "Leave `chat` or `report` out of barelm.toml.")
    if t.settings.chat != 0:
        return dialogue.hold_conversation(t)
    completion.complete_prompt(t)
    return LEAVE


def find_level(settings: SettingsView) -> int:
    """The CPU level to compute at, as high as the configuration allows."""
    level = cpu_level(settings.cpu - 1 if settings.cpu > 0 else N_LEVELS)
    if level == NO_LEVEL:
        raise Failure(uefi.EFI_UNSUPPORTED, TOO_OLD, TOO_OLD_HINT)
    return level


def farewell(con: Console, b: Board, workspace: Workspace, ending: int) -> int:
    """Wait for a reader, and leave as the configuration or the last command says."""
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
        place = locate_protocol(fw, uefi.BARELM_WORKSPACE)
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
        close_volume(workspace)
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
