"""The console: UTF-16 to the standard output as UTF-8, standard input as key strokes (UEFI 12.2 to 12.4).

Both only while the console is on the wire (see `serial`).
"""

import codecs
from collections import deque

from barelm.contract import uefi, uefi_protocols
from barelm.machine.firmware.devices.serial_device import Wire
from barelm.machine.firmware.events import Event, Events
from barelm.machine.firmware.pages import Memory
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.services import service

_LIGHT_GRAY = 7
_NOT_SHOWN = str.maketrans("", "", "\r\0\x1b")

# Characters that are other keys: Enter, backspace; and the scan code of Escape (appendix B).
_KEYS = {"\n": (0, "\r"), "\x7f": (0, "\b"), "\x1b": (uefi.SCAN_ESC, "\0")}


class TextOutput:
    """EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL with one mode, of 80 columns and 25 rows; what it writes is a plain stream."""

    columns, rows = 80, 25

    def __init__(self, wire: Wire, memory: Memory) -> None:
        self.mode = uefi_protocols.SimpleTextOutputMode(memory.pool(uefi_protocols.SimpleTextOutputMode.BYTES))
        self._wire = wire
        self._pending = ""
        self.mode.max_mode, self.mode.mode = 1, 0
        self.reset(0, 0)

    @service(uefi_protocols.SimpleTextOutput)
    def reset(self, this: int, extended: int) -> None:
        """12.4.2"""
        self.mode.attribute, self.mode.cursor_visible = _LIGHT_GRAY, 1
        self._move(0, 0)

    @service(uefi_protocols.SimpleTextOutput)
    def output_string(self, this: int, string: int) -> None:
        """12.4.3"""
        text = self._pending + guest.string(string)
        cut = len(text) - bool(text and "\ud800" <= text[-1] <= "\udbff")
        self._pending = text[cut:]
        content = text[:cut].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self._advance(content)
        if self._wire.has_console:
            self._wire.write(content.translate(_NOT_SHOWN).encode())

    @service(uefi_protocols.SimpleTextOutput)
    def test_string(self, this: int, string: int) -> None:
        """12.4.4; everything can be shown."""
        guest.string(string)

    @service(uefi_protocols.SimpleTextOutput)
    def query_mode(self, this: int, number: int, columns: int, rows: int) -> None:
        """12.4.5"""
        require(number == 0, uefi.EFI_UNSUPPORTED)
        guest.put_word(columns, self.columns)
        guest.put_word(rows, self.rows)

    @service(uefi_protocols.SimpleTextOutput)
    def set_mode(self, this: int, number: int) -> None:
        """12.4.6"""
        require(number == 0, uefi.EFI_UNSUPPORTED)
        self._move(0, 0)

    @service(uefi_protocols.SimpleTextOutput)
    def set_attribute(self, this: int, attribute: int) -> None:
        """12.4.7; remembered, not shown."""
        require(attribute < 0x80, uefi.EFI_UNSUPPORTED)
        self.mode.attribute = attribute

    @service(uefi_protocols.SimpleTextOutput)
    def clear_screen(self, this: int) -> None:
        """12.4.8; a stream cannot be cleared."""
        self._move(0, 0)

    @service(uefi_protocols.SimpleTextOutput)
    def set_cursor_position(self, this: int, column: int, row: int) -> None:
        """12.4.9; remembered, not shown."""
        require(column < self.columns and row < self.rows, uefi.EFI_UNSUPPORTED)
        self._move(column, row)

    @service(uefi_protocols.SimpleTextOutput)
    def enable_cursor(self, this: int, visible: int) -> None:
        """12.4.10"""
        self.mode.cursor_visible = visible != 0

    def _move(self, column: int, row: int) -> None:
        self.mode.cursor_column, self.mode.cursor_row = column, row

    def _advance(self, text: str) -> None:
        """Move the cursor as a terminal would: wrapped at the last column, scrolled at the last row."""
        column, row = self.mode.cursor_column, self.mode.cursor_row
        for character in text:
            if character == "\r":
                column = 0
            elif character == "\n":
                row += 1
            elif character == "\b":
                column = max(column - 1, 0)
            else:
                column += 1
            if column == self.columns:
                column, row = 0, row + 1
        self._move(column, min(row, self.rows - 1))


class TextInput:
    """EFI_SIMPLE_TEXT_INPUT_PROTOCOL and its EX form: UTF-8 from the standard input, a line feed being Enter.

    No more of what comes is taken than is asked for: the rest is for a program that takes the wire.  `press` is a
    keyboard beside it, which also tells of shift keys.
    """

    def __init__(self, wire: Wire, events: Events) -> None:
        self._wire = wire
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._keys: deque[tuple[int, str, int]] = deque()
        self.wait_for_key = events.add(Event(ready=self._has_key))

    def press(self, scan: int, character: str, shift_state: int = 0) -> None:
        """A key stroke: a scan code (appendix B), a UTF-16 unit, and EFI_KEY_STATE's shift keys, 0: not known."""
        self._keys.append((scan, character, shift_state))

    def _has_key(self) -> bool:
        """Whether there is a key, taken off the wire where there was none."""
        while not self._keys and self._wire.has_console and (byte := self._wire.take(1)):
            units = self._decoder.decode(byte).encode("utf-16-le")
            for i in range(0, len(units), 2):
                unit = units[i:i + 2].decode("utf-16-le", "surrogatepass")
                self.press(*_KEYS.get(unit, (0, unit)))
        return bool(self._keys)

    @service(uefi_protocols.SimpleTextInput)
    def reset(self, this: int, extended: int) -> None:
        """12.3.2"""
        self._keys.clear()
        if self._wire.has_console:
            self._wire.clear()

    @service(uefi_protocols.SimpleTextInput)
    def read_key_stroke(self, this: int, key: int) -> None:
        """12.3.3"""
        self._take_key(key)

    @service(uefi_protocols.SimpleTextInputEx, "reset")
    def reset_ex(self, this: int, extended: int) -> None:
        """12.2.2"""
        self.reset(this, extended)

    @service(uefi_protocols.SimpleTextInputEx)
    def read_key_stroke_ex(self, this: int, data: int) -> None:
        """12.2.3; where nothing is known of shift keys, the state says that it is not valid."""
        uefi_protocols.KeyData(data).shift_state, uefi_protocols.KeyData(data).toggle_state = self._take_key(data), 0

    def _take_key(self, key: int) -> int:
        """Give the program a key; returns its shift state."""
        require(key)
        require(self._has_key(), uefi.EFI_NOT_READY)
        scan, character, shift_state = self._keys.popleft()
        uefi_protocols.InputKey(key).scan_code, uefi_protocols.InputKey(key).unicode_char = scan, ord(character)
        return shift_state
