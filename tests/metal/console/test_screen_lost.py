"""A screen that refuses, or becomes another one while words come: it is drawn anew, or else the console is used."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.contract import uefi
from barelm.contract.uefi_protocols import SimpleTextOutput
from barelm.metal import arena
from barelm.metal.console import display
from barelm.metal.console.display import refresh
from barelm.metal.console.sinks import PLAIN, SCREEN, TEXT, Console, close_screen, flush, is_on, open_console
from barelm.metal.console.writing import say_line
from barelm.metal.uefi.text_output import console_columns, console_row
from tests.metal.console.test_display import SIZE, write
from tests.metal.fake import ERROR, FakeFirmware
from tests.metal.screens import BGRX, BLT_ONLY, FakeScreen, expected
from tests.metal.storage.test_whole_files import units

LARGE = (800, 600)


def opened(machine: FakeScreen) -> Console:
    """Its console, for a person."""
    workspace = arena.open_workspace(machine.fw)
    workspace.board.settings.screen = 1
    return open_console(machine.fw, workspace.board.settings, workspace.board.figures, workspace)


def say(con: Console, words: str) -> None:
    """A line."""
    say_line(con, TEXT, units(words))


def refuse(machine: FakeScreen) -> None:
    """Have every transfer refused."""
    machine.graphics.serve("blt", lambda *_: ERROR | uefi.EFI_DEVICE_ERROR)


def test_where_every_transfer_is_refused_the_console_speaks() -> None:
    machine = FakeScreen([LARGE], BLT_ONLY)
    refuse(machine)
    con = opened(machine)
    n_pages = len(machine.pages)
    say(con, "hello")
    assert (is_on(con, SCREEN), is_on(con, PLAIN), "hello" in machine.screen, n_pages) == (False, True, True, 1)


def test_a_screen_that_is_lost_is_given_up_after_a_while() -> None:
    machine = FakeScreen([LARGE], BLT_ONLY)
    con = opened(machine)
    say(con, "on the screen")
    assert is_on(con, SCREEN) and not is_on(con, PLAIN)
    refuse(machine)
    for k in range(display.MOST_FAILURES + 1):
        say(con, f"line {k}")
    assert (is_on(con, SCREEN), is_on(con, PLAIN)) == (False, True)
    say(con, "and on")
    assert "and on" in machine.screen and len(machine.pages) == 1
    close_screen(con)
    flush(con)


def test_one_refusal_is_made_good() -> None:
    machine = FakeScreen([SIZE], BLT_ONLY)
    d = machine.open()
    plain = machine.blt
    refuse(machine)
    seen = write(d, 0, "words")
    refresh(d)
    machine.graphics.serve("blt", plain)
    refresh(d)
    assert np.array_equal(machine.colours, expected(d, seen)) and d.state.failures == 0


@pytest.mark.parametrize("form", [BGRX, BLT_ONLY])
def test_another_mode_is_taken_back(form: int) -> None:
    machine = FakeScreen([SIZE, (120, 60)], form)
    d = machine.open()
    seen = write(d, 0, "words")
    refresh(d)
    machine.show_mode(1)
    seen |= write(d, 0, "more", column=6)
    refresh(d)
    assert machine.modes_set == [0] and np.array_equal(machine.colours, expected(d, seen))


def test_a_frame_buffer_that_moves_is_followed() -> None:
    machine = FakeScreen([SIZE])
    d = machine.open()
    seen = write(d, 0, "words")
    refresh(d)
    old = machine.frame
    machine.show_mode(0)
    before = old.copy()
    seen |= write(d, 0, "more", column=6)
    refresh(d)
    assert np.array_equal(machine.colours, expected(d, seen)) and np.array_equal(old, before)


def test_a_mode_that_cannot_be_had_again_ends_the_screen() -> None:
    machine = FakeScreen([LARGE, (640, 480)])
    con = opened(machine)
    machine.show_mode(1)
    machine.graphics.serve("set_mode", lambda *_: ERROR | uefi.EFI_DEVICE_ERROR)
    say(con, "hello")
    say(con, "and on")
    assert (is_on(con, SCREEN), is_on(con, PLAIN), "and on" in machine.screen) == (False, True, True)


def test_a_console_without_a_mode() -> None:
    firmware = FakeFirmware()
    SimpleTextOutput(firmware.fw.con_out).mode = 0
    assert (console_columns(firmware.fw), console_row(firmware.fw)) == (80, 0)


def test_the_firmwares_console_is_blank_before_rows_are_counted() -> None:
    firmware = FakeFirmware()
    workspace = arena.open_workspace(firmware.fw)
    open_console(firmware.fw, workspace.board.settings, workspace.board.figures, workspace)
    assert firmware.n_cleared == 1
    workspace.board.settings.report = 1
    open_console(firmware.fw, workspace.board.settings, workspace.board.figures, workspace)
    assert firmware.n_cleared == 1, "a program reads all of it"
