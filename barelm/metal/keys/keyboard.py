"""What is typed, as one stream of keys: from the firmware's keyboard and from the terminal on the serial line.

A key is a code point, controls as they are (Ctrl-A is 1, Backspace 8, Enter 13, Esc 27); 10 is a line feed to be
inserted; what is no character is one of the constants from UP on.  Firmware tells of shift keys through its extended
protocol only; a terminal sends UTF-8 and the escape sequences of xterm, VT220, rxvt and the Linux console.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from barelm.contract import board, uefi
from barelm.contract.board import Board
from barelm.contract.uefi_protocols import SystemTable
from barelm.dialect.memory import i64_array, memory, u8_array
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8
from barelm.kernels.text.utf8 import decode_character, lead
from barelm.metal.console.serial_line import PROTOCOL, SERIAL_COLUMNS, SERIAL_ROWS, SIZED, Serial, read_byte
from barelm.metal.keys.layouts import ACCENT, character_at, combined, dead_number
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import protocol_of
from barelm.metal.uefi.text_input import read_stroke
from barelm.metal.uefi.timers import close_event, create_timer, sleep

CONTROL_C, BACKSPACE, TAB, LINE_FEED, RETURN, CONTROL_W, ESCAPE, DELETE_BYTE = 3, 8, 9, 10, 13, 23, 27, 127

FIRST_KEY = 0x110000
"""Behind every code point; the keys that have a scan code (UEFI 2.10, appendix B) are FIRST_KEY and that."""
UP, DOWN, RIGHT, LEFT, HOME, END, INSERT, DELETE, PAGE_UP, PAGE_DOWN = range(FIRST_KEY + 1, FIRST_KEY + 11)
F1 = FIRST_KEY + 11  # to F12 = F1 + 11
WORD_LEFT, WORD_RIGHT = FIRST_KEY + 32, FIRST_KEY + 33
RESIZED = FIRST_KEY + 34
"""The terminal has said how large it is."""

# Words of Keyboard.state
EXTENDED = 0  # address of EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL, or 0
TIMER = 1
DEAD = 2  # a dead key that waits for its base
NEXT = 3  # a key that came along with the one before
SURROGATE = 4  # the first half of a pair
MODE = 5  # of the decoder of escape sequences
HEARD_AT = 6  # cycles when the last byte came
PASTING = 7  # between the brackets of a paste
AFTER_RETURN = 8  # the last character was a carriage return
N_BYTES = 9  # of a character of several bytes, so far
STRANGE = 10  # a sequence has a character in it that no key's has
N_NUMBERS = 11  # the last of its numbers
NUMBERS = 12  # three of them
STATE_WORDS = 16
KEYBOARD_BYTES = 8 * STATE_WORDS + 8

GROUND, ESCAPED, CONTROL_SEQUENCE, SINGLE_SHIFT, LINUX_FUNCTION, STRING = range(6)  # MODE

ESCAPE_MS = 30
"""An escape followed by nothing for so long is the key; any other sequence that stops in the middle is none."""
PASTE_MS = 2000
"""A paste whose end has not come for so long is over."""
POLL_US = 10000
LARGEST = 1000  # columns and rows that are believed

# ESC [ number ~
_NUMBERED: I64 = np.array(
    [0, HOME, INSERT, DELETE, END, PAGE_UP, PAGE_DOWN, HOME, END, 0, 0, F1, F1 + 1, F1 + 2, F1 + 3, F1 + 4, 0,
     F1 + 5, F1 + 6, F1 + 7, F1 + 8, F1 + 9, 0, F1 + 10, F1 + 11], np.int64)


class Keyboard(NamedTuple):
    """Whatever there is to type on."""

    fw: Firmware
    b: Board
    serial: Serial
    state: I64
    bytes: U8


@metal
def open_keyboard(fw: Firmware, b: Board, serial: Serial, address: int) -> Keyboard:
    """The keyboard over KEYBOARD_BYTES of zeroed memory; it may be opened again over the same."""
    block = memory(address, KEYBOARD_BYTES)
    k = Keyboard(fw, b, serial, i64_array(block, 0, STATE_WORDS), u8_array(block, 8 * STATE_WORDS, 8))
    k.state[EXTENDED] = protocol_of(fw, SystemTable(fw.table).console_in_handle,
                                    uefi.SIMPLE_TEXT_INPUT_EX_PROTOCOL)
    if k.state[TIMER] == 0:
        k.state[TIMER] = create_timer(fw)
    return k


@metal
def close_keyboard(k: Keyboard) -> None:
    """Give its timer back."""
    if k.state[TIMER] != 0:
        close_event(k.fw, k.state[TIMER])
    k.state[TIMER] = 0


@metal
def next_key(k: Keyboard) -> int:
    """The next key, one kept first; 0 where none waits."""
    if k.b.typed_ahead.taken < k.b.typed_ahead.put:
        key = k.b.typed_ahead.keys[k.b.typed_ahead.taken % board.N_KEYS]
        k.b.typed_ahead.taken += 1
        return key
    return fresh_key(k)


@metal
def fresh_key(k: Keyboard) -> int:
    """The next key from where keys come from; 0 where none waits."""
    if k.state[NEXT] != 0:
        key = k.state[NEXT]
        k.state[NEXT] = 0
        return key
    stroke = read_stroke(k.fw, k.state[EXTENDED])
    while stroke >= 0:
        key = key_of_stroke(k, stroke)
        if key != 0:
            return key
        stroke = read_stroke(k.fw, k.state[EXTENDED])
    return key_of_line(k)


@metal
def wait_for_key(k: Keyboard, milliseconds: int) -> int:
    """The next key, waited for so long (negative: for ever); 0: none came; -1: there is nothing to type on."""
    start = cycles()
    while True:
        key = next_key(k)
        if key != 0:
            return key
        if k.fw.con_in == 0 and k.state[EXTENDED] == 0 and k.serial.state[PROTOCOL] == 0:
            return -1
        if milliseconds >= 0 and cycles() - start >= milliseconds * k.b.figures.cycles_per_ms:
            return 0
        sleep(k.fw, k.state[TIMER], POLL_US)


@metal
def stop_asked(k: Keyboard) -> bool:
    """Whether Esc or Ctrl-C was pressed; other keys are kept for `next_key`, as many as there is room for."""
    while True:
        key = fresh_key(k)
        if key == ESCAPE or key == CONTROL_C:
            return True
        if key == 0 and k.state[MODE] != ESCAPED:
            return False
        if key != 0 and k.b.typed_ahead.put - k.b.typed_ahead.taken < board.N_KEYS:
            k.b.typed_ahead.keys[k.b.typed_ahead.put % board.N_KEYS] = key
            k.b.typed_ahead.put += 1


@metal
def key_of_stroke(k: Keyboard, stroke: int) -> int:
    """The key of what `read_stroke` returned; 0 where it is none, or only a part of one."""
    unit = stroke & 0xFFFF
    scan = stroke >> 16 & 0xFFFF
    shift = stroke >> 32
    control = shift & uefi.CONTROL_PRESSED != 0
    alt = shift & (uefi.LEFT_ALT_PRESSED | uefi.RIGHT_ALT_PRESSED) != 0
    layout = k.b.settings.keyboard
    third = layout > 0 and (shift & uefi.RIGHT_ALT_PRESSED != 0 or (control and alt))
    if scan == uefi.SCAN_ESC:
        return ESCAPE
    if scan != 0:
        k.state[DEAD] = 0
        if (control or alt) and (FIRST_KEY + scan == LEFT or FIRST_KEY + scan == RIGHT):
            return WORD_LEFT if FIRST_KEY + scan == LEFT else WORD_RIGHT
        return FIRST_KEY + scan if scan <= F1 + 11 - FIRST_KEY else 0
    if 0xD800 <= unit < 0xE000:
        high = k.state[SURROGATE]
        k.state[SURROGATE] = unit if unit < 0xDC00 else 0
        if unit < 0xDC00 or high == 0:
            return 0
        return 0x10000 + ((high - 0xD800) << 10) + unit - 0xDC00
    k.state[SURROGATE] = 0
    if unit == RETURN or unit == BACKSPACE or unit == TAB or unit == LINE_FEED or unit == DELETE_BYTE or unit == ESCAPE:
        k.state[DEAD] = 0
        if unit == RETURN and shift != 0:
            return LINE_FEED
        if unit == BACKSPACE and alt:
            return CONTROL_W
        return BACKSPACE if unit == DELETE_BYTE else unit
    if unit < 32:
        if unit == 0 or unit > 26:
            return 0
        unit += 96
        control = True
    if third:
        return key_of_character(k, character_at(layout, unit, True))
    character = character_at(layout, unit, False)
    if control:
        return character & 31 if 97 <= character | 32 <= 122 else 0
    if alt and (character == 98 or character == 102):
        return WORD_LEFT if character == 98 else WORD_RIGHT
    return key_of_character(k, character)


@metal
def key_of_character(k: Keyboard, character: int) -> int:
    """A character typed on the firmware's keyboard, joined with the dead key before it; 0 where it is dead itself."""
    before = k.state[DEAD]
    dead = dead_number(character) if k.b.settings.keyboard > 0 else 0
    if before == 0 or character == 0:
        if dead > 0:
            k.state[DEAD] = dead
            return 0
        return character
    k.state[DEAD] = 0
    if dead > 0:
        character = int(ACCENT[dead - 1])
    else:
        together = combined(before, character)
        if together != 0:
            return together
    k.state[NEXT] = character
    return int(ACCENT[before - 1])


@metal
def key_of_line(k: Keyboard) -> int:
    """The next key from the serial line; 0 where none waits."""
    byte = read_byte(k.fw, k.serial)
    while byte >= 0:
        k.state[HEARD_AT] = cycles()
        key = key_of_byte(k, byte)
        if key != 0:
            return key
        byte = read_byte(k.fw, k.serial)
    quiet = cycles() - k.state[HEARD_AT]
    alone = False
    if k.state[MODE] != GROUND and quiet >= ESCAPE_MS * k.b.figures.cycles_per_ms:
        alone = k.state[MODE] == ESCAPED and k.state[PASTING] == 0
        k.state[MODE] = GROUND
    if k.state[PASTING] != 0 and quiet >= PASTE_MS * k.b.figures.cycles_per_ms:
        k.state[PASTING] = 0
    return ESCAPE if alone else 0


@metal
def key_of_byte(k: Keyboard, byte: int) -> int:
    """The key that is complete with a byte of the serial line; 0 where none is."""
    if k.state[MODE] != GROUND:
        key = key_of_sequence(k, byte)
        if key >= 0:
            return 0 if k.state[PASTING] != 0 and key != RESIZED else key
    if byte >= 0x80:
        k.state[AFTER_RETURN] = 0
        return key_of_part(k, byte)
    k.state[N_BYTES] = 0
    if byte == ESCAPE:
        k.state[MODE] = ESCAPED
        return 0
    after_return = k.state[AFTER_RETURN]
    k.state[AFTER_RETURN] = int(byte == RETURN)
    if byte == LINE_FEED and after_return != 0:
        return 0
    if byte == LINE_FEED or byte == RETURN:
        return RETURN if k.state[PASTING] == 0 else LINE_FEED
    if k.state[PASTING] != 0 and byte != TAB and (byte < 32 or byte == DELETE_BYTE):
        return 0
    return BACKSPACE if byte == DELETE_BYTE else byte


@metal
def key_of_part(k: Keyboard, byte: int) -> int:
    """The same for a byte of a character of several; what is not UTF-8 is dropped, and so are the controls of C1."""
    if byte >= 0xC0:
        k.state[N_BYTES] = 0
    elif k.state[N_BYTES] == 0:
        return 0
    n = k.state[N_BYTES]
    k.bytes[n] = byte
    rest, _ = lead(int(k.bytes[0]))
    if n < rest or rest == 0:
        k.state[N_BYTES] = n + 1 if rest > 0 else 0
        return 0
    k.state[N_BYTES] = 0
    code_point, length = decode_character(k.bytes, 0, n + 1)
    return code_point if length == n + 1 and code_point >= 0xA0 else 0


@metal
def key_of_sequence(k: Keyboard, byte: int) -> int:
    """The key that is complete with a byte of an escape sequence; 0 where none is; -1 where the byte is no part of it.
    """
    mode = k.state[MODE]
    k.state[MODE] = GROUND
    if mode == ESCAPED:
        return key_of_escape(k, byte)
    if mode == LINUX_FUNCTION:
        return F1 + byte - 65 if 65 <= byte <= 69 else 0
    if mode == STRING:
        k.state[MODE] = GROUND if byte == 7 or byte == 24 else ESCAPED if byte == ESCAPE else STRING
        return 0
    if byte == ESCAPE:
        k.state[MODE] = ESCAPED
        return 0
    if byte < 32 or byte >= 127:
        return -1
    if 48 <= byte <= 57:
        at = NUMBERS + k.state[N_NUMBERS]
        k.state[at] = min(k.state[at] * 10 + byte - 48, 9999)
    elif byte == 59 or byte == 58:
        k.state[N_NUMBERS] = min(k.state[N_NUMBERS] + 1, 2)
    elif byte < 64:
        k.state[STRANGE] = 1
    elif byte == 91 and mode == CONTROL_SEQUENCE and k.state[NUMBERS] == 0:
        k.state[MODE] = LINUX_FUNCTION
        return 0
    else:
        return key_of_final(k, mode, byte) if k.state[STRANGE] == 0 else 0
    k.state[MODE] = mode
    return 0


@metal
def key_of_escape(k: Keyboard, byte: int) -> int:
    """The same for the byte behind an escape: the beginning of a sequence, or a character typed with Alt."""
    if byte == ESCAPE:
        k.state[MODE] = ESCAPED
        return ESCAPE
    if byte == 91 or byte == 79:
        k.state[MODE] = CONTROL_SEQUENCE if byte == 91 else SINGLE_SHIFT
        for i in range(STRANGE, NUMBERS + 3):
            k.state[i] = 0
        return 0
    if byte == 80 or byte == 88 or 93 <= byte <= 95:
        k.state[MODE] = STRING
        return 0
    if byte == RETURN or byte == LINE_FEED:
        k.state[AFTER_RETURN] = int(byte == RETURN)
        return LINE_FEED
    if byte == BACKSPACE or byte == DELETE_BYTE:
        return CONTROL_W
    if byte == 98 or byte == 102:
        return WORD_LEFT if byte == 98 else WORD_RIGHT
    return -1 if byte < 32 or byte > 127 else 0


@metal
def key_of_final(k: Keyboard, mode: int, byte: int) -> int:
    """The key of a complete sequence with the final `byte`; 0 where there is no such key."""
    first = k.state[NUMBERS]
    second = k.state[NUMBERS + 1]
    held = (second if k.state[N_NUMBERS] > 0 else first) - 1
    if byte == 126:
        if first == 200 or first == 201:
            k.state[PASTING] = int(first == 200)
            k.state[AFTER_RETURN] = 0
        if first == 27 and k.state[NUMBERS + 2] == RETURN:
            return LINE_FEED
        return int(_NUMBERED[first]) if first < len(_NUMBERED) else 0
    if byte == 82 and mode == CONTROL_SEQUENCE and first > 1:
        k.serial.state[SERIAL_ROWS] = min(first, LARGEST)
        k.serial.state[SERIAL_COLUMNS] = min(max(second, 1), LARGEST)
        k.serial.state[SIZED] = 1
        return RESIZED
    if byte == 117 and first == RETURN:
        return LINE_FEED if second > 1 else RETURN
    if byte == 77 and mode == SINGLE_SHIFT:
        return RETURN
    if byte == 67 or byte == 68:
        if held > 0 and held & 6 != 0:
            return WORD_RIGHT if byte == 67 else WORD_LEFT
        return RIGHT if byte == 67 else LEFT
    if (byte == 99 or byte == 100) and mode == SINGLE_SHIFT:
        return WORD_RIGHT if byte == 99 else WORD_LEFT
    if byte == 65 or byte == 66:
        return UP if byte == 65 else DOWN
    if byte == 70 or byte == 72:
        return END if byte == 70 else HOME
    return F1 + byte - 80 if 80 <= byte <= 83 else 0
