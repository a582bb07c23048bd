"""The console: UTF-16 to the standard output as UTF-8, standard input as key strokes (UEFI 12.2 to 12.4).

Both only while the console is on the wire (see `serial`).
"""

from __future__ import annotations

import codecs
from collections import deque

from barelm.machine.firmware.devices.serial_device import Wire
from barelm.machine.firmware.events import Event, Events
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.services import service
from barelm.machine.firmware.tables import EFI_NOT_READY, EFI_UNSUPPORTED

COLUMNS, ROWS = 80, 25
_LIGHT_GRAY = 7
_NOT_SHOWN = str.maketrans("", "", "\r\0\x1b")

# Characters that are other keys: Enter, backspace; and the scan code of Escape (appendix B).
_KEYS = {"\n": (0, "\r"), "\x7f": (0, "\b"), "\x1b": (0x17, "\0")}


class TextOutput:
    """EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL with one mode of 80 columns and 25 rows; what it writes is a plain stream."""

    MODE_BYTES = 24

    def __init__(self, wire: Wire, mode: int) -> None:
        """`mode` is the address of MODE_BYTES for SIMPLE_TEXT_OUTPUT_MODE."""
        self.mode = mode
        self._wire = wire
        self._pending = ""
        self._attribute, self._column, self._row, self._cursor_visible = _LIGHT_GRAY, 0, 0, True
        self._show()

    def _show(self) -> None:
        """Keep SIMPLE_TEXT_OUTPUT_MODE as the program may read it: six INT32, the last a BOOLEAN."""
        fields = (1, 0, self._attribute, self._column, self._row, self._cursor_visible)
        guest.put_bytes(self.mode, b"".join(int(field).to_bytes(4, "little") for field in fields))

    @service("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.Reset")
    def reset(self, this: int, extended: int) -> None:
        """12.4.2"""
        self._attribute, self._column, self._row, self._cursor_visible = _LIGHT_GRAY, 0, 0, True
        self._show()

    @service("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.OutputString")
    def output_string(self, this: int, string: int) -> None:
        """12.4.3"""
        text = self._pending + guest.string(string)
        cut = len(text) - bool(text and "\ud800" <= text[-1] <= "\udbff")
        self._pending = text[cut:]
        content = text[:cut].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self._advance(content)
        if self._wire.has_console:
            self._wire.write(content.translate(_NOT_SHOWN).encode())

    @service("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.TestString")
    def test_string(self, this: int, string: int) -> None:
        """12.4.4; everything can be shown."""
        guest.string(string)

    @service("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.QueryMode")
    def query_mode(self, this: int, number: int, columns: int, rows: int) -> None:
        """12.4.5"""
        require(number == 0, EFI_UNSUPPORTED)
        guest.put_word(columns, COLUMNS)
        guest.put_word(rows, ROWS)

    @service("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.SetMode")
    def set_mode(self, this: int, number: int) -> None:
        """12.4.6"""
        require(number == 0, EFI_UNSUPPORTED)
        self._move(0, 0)

    @service("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.SetAttribute")
    def set_attribute(self, this: int, attribute: int) -> None:
        """12.4.7; remembered, not shown."""
        require(attribute < 0x80, EFI_UNSUPPORTED)
        self._attribute = attribute
        self._show()

    @service("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.ClearScreen")
    def clear_screen(self, this: int) -> None:
        """12.4.8; a stream cannot be cleared."""
        self._move(0, 0)

    @service("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.SetCursorPosition")
    def set_cursor_position(self, this: int, column: int, row: int) -> None:
        """12.4.9; remembered, not shown."""
        require(column < COLUMNS and row < ROWS, EFI_UNSUPPORTED)
        self._move(column, row)

    @service("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.EnableCursor")
    def enable_cursor(self, this: int, visible: int) -> None:
        """12.4.10"""
        self._cursor_visible = visible != 0
        self._show()

    def _move(self, column: int, row: int) -> None:
        self._column, self._row = column, row
        self._show()

    def _advance(self, text: str) -> None:
        """Move the cursor as a terminal would: wrapped at the last column, scrolled at the last row."""
        column, row = self._column, self._row
        for character in text:
            if character == "\r":
                column = 0
            elif character == "\n":
                row += 1
            elif character == "\b":
                column = max(column - 1, 0)
            else:
                column += 1
            if column == COLUMNS:
                column, row = 0, row + 1
        self._move(column, min(row, ROWS - 1))


class TextInput:
    """EFI_SIMPLE_TEXT_INPUT_PROTOCOL and its EX form: UTF-8 from the standard input, a line feed being Enter.

    No more of what comes is taken than is asked for: the rest is for a program that takes the wire.
    """

    def __init__(self, wire: Wire, events: Events) -> None:
        self._wire = wire
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._keys: deque[tuple[int, str]] = deque()
        self.wait_for_key = events.add(Event(ready=self._has_key))

    def _has_key(self) -> bool:
        """Whether there is a key, taken off the wire where there was none."""
        while not self._keys and self._wire.has_console and (byte := self._wire.take(1)):
            units = self._decoder.decode(byte).encode("utf-16-le")
            for i in range(0, len(units), 2):
                unit = units[i:i + 2].decode("utf-16-le", "surrogatepass")
                self._keys.append(_KEYS.get(unit, (0, unit)))
        return bool(self._keys)

    @service("EFI_SIMPLE_TEXT_INPUT_PROTOCOL.Reset")
    def reset(self, this: int, extended: int) -> None:
        """12.3.2"""
        self._keys.clear()
        if self._wire.has_console:
            self._wire.clear()

    @service("EFI_SIMPLE_TEXT_INPUT_PROTOCOL.ReadKeyStroke")
    def read_key_stroke(self, this: int, key: int) -> None:
        """12.3.3"""
        require(key)
        require(self._has_key(), EFI_NOT_READY)
        scan, character = self._keys.popleft()
        guest.put_bytes(key, scan.to_bytes(2, "little") + character.encode("utf-16-le", "surrogatepass"))

    @service("EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL.Reset")
    def reset_ex(self, this: int, extended: int) -> None:
        """12.2.2"""
        self.reset(this, extended)

    @service("EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL.ReadKeyStrokeEx")
    def read_key_stroke_ex(self, this: int, data: int) -> None:
        """12.2.3; nothing is known of shift keys, so the state says that it is not valid."""
        self.read_key_stroke(this, data)
        guest.put_bytes(data + 4, bytes(8))
