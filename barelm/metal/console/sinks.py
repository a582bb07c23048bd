"""Where text goes: our own screen, a terminal on a serial line taken from the firmware, and, where there is no such
screen, the firmware's console.  Each is implemented in a file of its own; callers use the functions here.

With `report` in the configuration, a program reads, and only the firmware's console is used.
"""

from typing import NamedTuple

from barelm.contract.board import Figures
from barelm.contract.console_state import ConsoleState
from barelm.contract.regions import Workspace
from barelm.contract.settings import SettingsView
from barelm.dialect.processor import cycles
from barelm.dialect.types import U8
from barelm.metal.console import plain_sink, screen_sink, terminal_sink
from barelm.metal.console.display import Display, bind_display, close_display, open_display, refresh
from barelm.metal.console.glyphs import cell_width, terminal_width
from barelm.metal.console.serial_line import flush_serial, open_serial
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.text_output import clear_screen, console_columns

SCREEN, LINE, PLAIN = 0, 1, 2
"""The sinks, by their places in `ConsoleState.sinks`."""

NEVER_WRAPPED = 1 << 30
CONSOLE_WORDS = ConsoleState.offset_of("display") // 8
"""What the firmware's console alone takes of a ConsoleState."""

TEXT, PERSON, DIM, ACCENT, ALARM = 0, 1, 2, 3, 4
"""Colours."""

LINE_FEED, TAB, SPACE = 10, 9, 32


class Console(NamedTuple):
    """Where text goes, and how far it is there."""

    fw: Firmware
    state: ConsoleState


def bind_console(fw: Firmware, workspace: Workspace) -> Console:
    """The console of a workspace, as it is."""
    return Console(fw, workspace.console)


def is_open(con: Console) -> bool:
    """Whether the console of a workspace was opened: a story may fail before."""
    return is_on(con, SCREEN) or is_on(con, PLAIN)


def plain_console(fw: Firmware, state: ConsoleState) -> Console:
    """The firmware's console alone, over a zeroed state, of which CONSOLE_WORDS are enough."""
    state.sinks[PLAIN].on = 1
    state.plain.width = max(console_columns(fw) - 1, 8)
    return Console(fw, state)


def open_console(fw: Firmware, settings: SettingsView, figures: Figures, workspace: Workspace) -> Console:
    """A console over a zeroed workspace: to a person, the screen as configured and a serial line where there is one."""
    con = plain_console(fw, workspace.console)
    if settings.report != 0:
        con.state.plain.width = NEVER_WRAPPED
        return con
    if settings.screen != 0 and open_display(fw, figures, con.state.display).state.columns > 0:
        con.state.sinks[SCREEN].on = 1
        con.state.sinks[PLAIN].on = 0
    if settings.serial != 0:
        open_serial(fw, con.state.serial)
    con.state.sinks[LINE].on = int(con.state.serial.n_ports > 0)
    if is_on(con, PLAIN):
        clear_screen(fw)  # its rows are counted from the top
    return con


def screen_of(con: Console) -> Display:
    """The screen, which may not be there."""
    return bind_display(con.state.display)


def close_screen(con: Console) -> None:
    """Give the screen back to the firmware, blank."""
    flush(con)
    leave_screen(con)


def leave_screen(con: Console) -> None:
    """The same without what was put last."""
    if is_on(con, SCREEN):
        con.state.sinks[SCREEN].on = 0
        con.state.sinks[PLAIN].on = 1
        close_display(con.fw, screen_of(con))
        clear_screen(con.fw)


def close_line(con: Console, returns: bool) -> None:
    """Leave the terminal, for good or, where the program returns, to the firmware."""
    if is_on(con, LINE):
        terminal_sink.leave(con.fw, con.state.serial, returns)
        con.state.sinks[LINE].on = 0


def is_on(con: Console, sink: int) -> bool:
    """Whether a sink takes text."""
    return bool(con.state.sinks[sink].on != 0)


def columns_of(con: Console, sink: int) -> int:
    """How many characters a row of a sink takes."""
    if sink == SCREEN:
        return screen_sink.row_width(screen_of(con))
    if sink == LINE:
        return terminal_sink.row_width(con.state.serial)
    return con.state.plain.width


def width_on(sink: int, code_point: int) -> int:
    """How many columns a character takes."""
    return terminal_width(code_point) if sink == LINE else cell_width(code_point)


def draw(con: Console, sink: int, code_point: int) -> None:
    """One character where the sink stands."""
    s = con.state.sinks[sink]
    if sink == SCREEN:
        screen_sink.draw(screen_of(con), s.at, code_point, con.state.colour)
    elif sink == LINE:
        terminal_sink.draw(con.state.serial, code_point, con.state.colour)
    else:
        plain_sink.draw(con.fw, con.state.plain, code_point)
    s.at += width_on(sink, code_point)


def next_row(con: Console, sink: int) -> None:
    """To the beginning of the next row."""
    con.state.sinks[sink].at = 0
    if sink == SCREEN:
        screen_sink.next_row(screen_of(con))
    elif sink == LINE:
        terminal_sink.next_row(con.state.serial)
    else:
        plain_sink.next_row(con.fw, con.state.plain)


def go_to(con: Console, sink: int, up: int, column: int) -> None:
    """So many rows up (down where negative), to a column."""
    con.state.sinks[sink].at = column
    if sink == SCREEN:
        screen_sink.go_up(screen_of(con), up)
    elif sink == LINE:
        terminal_sink.go_to(con.state.serial, up, column)
    else:
        plain_sink.go_to(con.fw, con.state.plain, up, column)


def clear_rest(con: Console, sink: int, below: int) -> None:
    """Blank from where the sink stands to the end of the row, and so many rows below (on the screen all there are)."""
    at = con.state.sinks[sink].at
    if sink == SCREEN:
        screen_sink.clear_rest(screen_of(con), at)
    elif sink == LINE:
        terminal_sink.clear_rest(con.state.serial, below)
    else:
        plain_sink.clear_rest(con.fw, con.state.plain, at, below)


def flush(con: Console) -> None:
    """Show what was put."""
    plain_sink.show(con.fw, con.state.plain)
    if is_on(con, LINE):
        flush_serial(con.state.serial)
    if is_on(con, SCREEN):
        refresh(screen_of(con))
        if con.state.display.lost != 0:
            leave_screen(con)
    con.state.shown_at = cycles()


def has_status(con: Console) -> bool:
    """Whether there is a row for the status: at the bottom of the screen, or of the terminal."""
    return is_on(con, SCREEN) or (is_on(con, LINE) and con.state.serial.status_row > 0)


def show_status(con: Console, line: U8) -> None:
    """Show UTF-8 there."""
    if is_on(con, LINE) and con.state.serial.status_row > 0:
        terminal_sink.show_status(con.state.serial, line)
    if is_on(con, SCREEN):
        screen_sink.show_status(screen_of(con), line)
