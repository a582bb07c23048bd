"""A small terminal: what a VT100 shows of the bytes of a serial line, and what a UEFI console shows of its text."""

from __future__ import annotations

import re
import unicodedata

from barelm.metal.console.glyphs import cell_width
from tests.metal.fake import FakeFirmware

SEQUENCE = re.compile(r"\x1b(?:\[([?0-9;]*)([A-Za-z])|([78]))")


class Grid:
    """Rows of characters, a cursor, and the rows that went out at the top."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.n_rows = columns, rows
        self.rows = [[" "] * columns for _ in range(rows)]
        self.gone: list[str] = []
        self.row = self.column = 0
        self.saved = 0, 0
        self.region = 0, rows - 1  # where text scrolls
        self.most_column = 0  # the last column that was ever written to
        self.colours: list[int] = []

    @property
    def lines(self) -> list[str]:
        """All there ever was, without blanks at the ends."""
        shown = ["".join(row).rstrip() for row in self.rows]
        while shown and not shown[-1]:
            shown.pop()
        return self.gone + shown

    def put(self, character: str) -> None:
        """A character where the cursor is: a wide one has nothing in its second column, a mark is on the one before."""
        width = self.width(character)
        if width == 0:
            if self.column:
                self.rows[self.row][self.column - 1] += character
            return
        assert self.column + width <= self.columns, "nothing relies on what happens at the edge"
        self.rows[self.row][self.column:self.column + width] = [character] + [""] * (width - 1)
        self.most_column = max(self.most_column, self.column)
        self.column += width

    def width(self, character: str) -> int:
        """Columns of a character."""
        return cell_width(ord(character))

    def line_feed(self) -> None:
        """One row down; at the bottom everything moves up."""
        top, bottom = self.region
        if self.row != bottom:
            self.row = min(self.row + 1, self.n_rows - 1)
        else:
            self.gone.append("".join(self.rows.pop(top)).rstrip())
            self.rows.insert(bottom, [" "] * self.columns)

    def clear_from_cursor(self) -> None:
        """Blank to the end of the screen."""
        self.rows[self.row][self.column:] = [" "] * (self.columns - self.column)
        for row in self.rows[self.row + 1:]:
            row[:] = [" "] * self.columns


class Vt100(Grid):
    """A terminal of the kind every emulator is (ECMA-48)."""

    def width(self, character: str) -> int:
        """By the Unicode standard's annex 11."""
        if unicodedata.combining(character):
            return 0
        return 2 if unicodedata.east_asian_width(character) in "WF" else 1

    def feed(self, content: bytes) -> None:
        """What comes over the line, whole characters."""
        text = content.decode()
        at = 0
        while at < len(text):
            found = SEQUENCE.match(text, at)
            if found:
                self.control(found[1] or "", found[2] or "", found[3])
                at = found.end()
                continue
            character = text[at]
            assert character >= " " or character in "\r\n", f"a control nobody asked for: {text[at:at + 9]!r}"
            if character == "\r":
                self.column = 0
            elif character == "\n":
                self.line_feed()
            else:
                self.put(character)
            at += 1

    def control(self, numbers: str, letter: str, saved: str | None) -> None:
        """A control sequence."""
        if saved == "7":
            self.saved = self.row, self.column
        elif saved == "8":
            self.row, self.column = self.saved
        elif numbers.startswith("?") or letter == "n":
            return
        else:
            first, _, second = numbers.partition(";")
            self.move(letter, int(first or "0"), int(second or "0"))

    def move(self, letter: str, n: int, m: int) -> None:
        """One with numbers."""
        top, bottom = self.region
        if letter == "A":
            self.row = max(self.row - max(n, 1), 0)
        elif letter == "B":
            self.row = min(self.row + max(n, 1), bottom if self.row <= bottom else self.n_rows - 1)
        elif letter == "C":
            self.column = min(self.column + max(n, 1), self.columns - 1)
        elif letter == "H":
            self.row, self.column = min(max(n, 1), self.n_rows) - 1, min(max(m, 1), self.columns) - 1
        elif letter == "J":
            assert n == 0
            self.clear_from_cursor()
        elif letter == "K":
            assert n in (0, 2)
            start = self.column if n == 0 else 0
            self.rows[self.row][start:] = [" "] * (self.columns - start)
        elif letter == "m":
            self.colours.append(n)
        elif letter == "r":
            self.region = (max(n, 1) - 1, (m or self.n_rows) - 1)
            self.row = self.column = 0
        else:
            raise AssertionError(f"no terminal is asked for {letter}")


class UefiConsole(Grid):
    """The firmware's console (UEFI 12.4): a character in the last column takes the cursor to the next row."""

    def __init__(self, firmware: FakeFirmware, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self.firmware = firmware
        firmware.columns, firmware.machine.text_output.rows = columns, rows
        firmware.cursor_set = self.set_cursor
        firmware.shown_to = self.feed

    def feed(self, text: str) -> None:
        """What OutputString is given."""
        for character in text:
            if character == "\r":
                self.column = 0
            elif character == "\n":
                self.line_feed()
            else:
                self.put(character)
                if self.column == self.columns:
                    self.column = 0
                    self.line_feed()
        self.say_cursor()

    def set_cursor(self, column: int, row: int) -> None:
        """SetCursorPosition."""
        assert 0 <= column < self.columns and 0 <= row < self.n_rows, "the firmware would refuse"
        self.column, self.row = column, row
        self.say_cursor()

    def say_cursor(self) -> None:
        """Where it is, in SIMPLE_TEXT_OUTPUT_MODE."""
        self.firmware.con_mode.put(cursor_column=self.column, cursor_row=self.row)
