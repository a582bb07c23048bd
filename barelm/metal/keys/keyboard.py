"""What is typed, as one stream of keys: from the firmware's keyboard and from the terminal on the serial line.

A key is a code point, controls as they are (Ctrl-A is 1, Backspace 8, Enter 13, Esc 27); 10 is a line feed to be
inserted; what is no character is one of the constants from UP on.  Firmware tells of shift keys through its extended
protocol only; a terminal sends UTF-8 and the escape sequences of xterm, VT220, rxvt and the Linux console.
"""

from typing import NamedTuple

import numpy as np

from barelm.contract import uefi
from barelm.contract.board import Figures
from barelm.contract.console_state import N_KEYS, KeyboardState, SerialState
from barelm.contract.regions import Workspace
from barelm.contract.settings import SettingsView
from barelm.contract.uefi_protocols import SystemTable
from barelm.dialect.memory import address_of, fill_bytes
from barelm.dialect.processor import cycles
from barelm.dialect.types import I64
from barelm.kernels.text.utf8 import decode_character, lead
from barelm.metal.console.serial_line import read_byte
from barelm.metal.console.sinks import Console
from barelm.metal.keys.layouts import ACCENT, character_at, combined, dead_number
from barelm.metal.uefi.boot_services import Firmware, stall
from barelm.metal.uefi.handles import protocol_of
from barelm.metal.uefi.text_input import read_stroke
from barelm.metal.uefi.timers import close_event, create_timer, sleep

ALT_PRESSED = uefi.LEFT_ALT_PRESSED | uefi.RIGHT_ALT_PRESSED
CONTROL_C, BACKSPACE, TAB, LINE_FEED, RETURN, CONTROL_W, ESCAPE, DELETE_BYTE = 3, 8, 9, 10, 13, 23, 27, 127

FIRST_KEY = 0x110000
"""Behind every code point; the keys that have a scan code (UEFI 2.10, appendix B) are FIRST_KEY and that."""
UP, DOWN, RIGHT, LEFT, HOME, END, INSERT, DELETE, PAGE_UP, PAGE_DOWN = range(FIRST_KEY + 1, FIRST_KEY + 11)
F1 = FIRST_KEY + 11  # to F12 = F1 + 11
WORD_LEFT, WORD_RIGHT = FIRST_KEY + 32, FIRST_KEY + 33
RESIZED = FIRST_KEY + 34
"""The terminal has said how large it is."""

GROUND, ESCAPED, CONTROL_SEQUENCE, SINGLE_SHIFT, LINUX_FUNCTION, STRING = range(6)
"""Modes of the decoder of escape sequences."""

ESCAPE_MS = 30
"""An escape followed by nothing for so long is the key; any other sequence that stops in the middle is none."""
PASTE_MS = 2000
"""A paste whose end has not come for so long is over."""
POLL_US = 10000
MOST_LOOKS = 512  # at what comes, before something else is done
LARGEST = 1000  # columns and rows that are believed

# ESC [ number ~, and ESC [ or ESC O and a letter from A on.
_NUMBERED: I64 = np.array(
    [0, HOME, INSERT, DELETE, END, PAGE_UP, PAGE_DOWN, HOME, END, 0, 0, F1, F1 + 1, F1 + 2, F1 + 3, F1 + 4, 0,
     F1 + 5, F1 + 6, F1 + 7, F1 + 8, F1 + 9, 0, F1 + 10, F1 + 11], np.int64)
_LETTERED: I64 = np.array([UP, DOWN, RIGHT, LEFT, 0, END, 0, HOME, *[0] * 7, F1, F1 + 1, F1 + 2, F1 + 3], np.int64)


class Keyboard(NamedTuple):
    """The sources of keys: the firmware's keyboard and the serial line."""

    fw: Firmware
    layout: int  # of the firmware's keyboard, one of `layouts`
    figures: Figures
    serial: SerialState
    state: KeyboardState


def open_keyboard(con: Console, settings: SettingsView, figures: Figures, workspace: Workspace) -> Keyboard:
    """The keyboard of a workspace, zeroed at first, and the terminal of its console; it may be opened again."""
    state = workspace.keyboard
    state.extended = protocol_of(con.fw, SystemTable(con.fw.table).console_in_handle,
                                 uefi.SIMPLE_TEXT_INPUT_EX_PROTOCOL)
    if state.timer == 0:
        state.timer = create_timer(con.fw)
    return Keyboard(con.fw, settings.keyboard, figures, con.state.serial, state)


def close_keyboard(k: Keyboard) -> None:
    """Give its timer back."""
    close_event(k.fw, k.state.timer)
    k.state.timer = 0


def next_key(k: Keyboard) -> int:
    """The next key, one kept first; 0 where none waits."""
    ahead = k.state.ahead
    if ahead.taken < ahead.put:
        ahead.taken += 1
        return int(ahead.keys[(ahead.taken - 1) % N_KEYS])
    return fresh_key(k)


def fresh_key(k: Keyboard) -> int:
    """The next key from where keys come from; 0 where none waits."""
    if k.state.next != 0:
        key = k.state.next
        k.state.next = 0
        return key
    for _ in range(MOST_LOOKS):
        stroke = next_stroke(k)
        if stroke < 0:
            break
        key = key_of_stroke(k, stroke)
        if key != 0:
            return key
    return key_of_line(k)


def next_stroke(k: Keyboard) -> int:
    """The next stroke on the firmware's keyboard, as `read_stroke`; some firmware has an extended protocol that is
    silent, and the keys in the other one.
    """
    stroke = read_stroke(k.fw, k.state.extended)
    if stroke >= 0:
        k.state.speaks = int(k.state.extended != 0)
    elif k.state.extended != 0 and k.state.speaks == 0:
        stroke = read_stroke(k.fw, 0)
    return stroke


def wait_for_key(k: Keyboard, milliseconds: int) -> int:
    """The next key, waited for so long (negative: for ever); 0: none came; -1: there is nothing to type on."""
    start = cycles()
    while True:
        key = next_key(k)
        if key != 0:
            return key
        if k.fw.con_in == 0 and k.state.extended == 0 and k.serial.on == 0:
            if milliseconds > 0:
                stall(k.fw, milliseconds * 1000)  # somebody may read at least
            return -1
        if milliseconds >= 0 and cycles() - start >= milliseconds * k.figures.cycles_per_ms:
            return 0
        sleep(k.fw, k.state.timer, POLL_US)


def stop_asked(k: Keyboard) -> bool:
    """Whether Esc or Ctrl-C was pressed; other keys are kept for `next_key`, as many as there is room for.

    It looks at so many keys at most: input may have no end.
    """
    ahead = k.state.ahead
    for _ in range(MOST_LOOKS):
        key = fresh_key(k)
        if key == ESCAPE or key == CONTROL_C:
            return True
        if key == 0 and k.state.mode != ESCAPED:
            return False
        if key != 0 and ahead.put - ahead.taken < N_KEYS:
            ahead.keys[ahead.put % N_KEYS] = key
            ahead.put += 1
        elif key != 0:
            k.state.lost += 1
            if key == RETURN:  # what is lost belongs to the line before it
                ahead.keys[(ahead.put - 1) % N_KEYS] = RETURN
    return False


def key_of_stroke(k: Keyboard, stroke: int) -> int:
    """The key of what `read_stroke` returned; 0 where it is none, or only a part of one."""
    unit = stroke & 0xFFFF
    scan = stroke >> 16 & 0xFFFF
    shift = stroke >> 32
    # Some firmware puts the character of Enter, or of any control, into the scan code as well, or there alone.
    if scan == RETURN:
        unit = RETURN
    elif scan != 0 and scan != unit:
        return key_of_scan(k, scan, shift)
    high = k.state.surrogate
    k.state.surrogate = unit if 0xD800 <= unit < 0xDC00 else 0
    if 0xD800 <= unit < 0xE000:
        return 0x10000 + ((high - 0xD800) << 10) + unit - 0xDC00 if unit >= 0xDC00 and high != 0 else 0
    if unit == RETURN or unit == BACKSPACE or unit == TAB or unit == LINE_FEED or unit == DELETE_BYTE or unit == ESCAPE:
        k.state.dead = 0
        if unit == RETURN and shift != 0:
            return LINE_FEED
        if unit == BACKSPACE and shift & ALT_PRESSED != 0:
            return CONTROL_W
        return BACKSPACE if unit == DELETE_BYTE else unit
    if unit < 32:
        return key_of_unit(k, unit + 96, shift, True) if 0 < unit <= 26 else 0
    return key_of_unit(k, unit, shift, shift & uefi.CONTROL_PRESSED != 0)


def key_of_scan(k: Keyboard, scan: int, shift: int) -> int:
    """The same for a key with a scan code."""
    if scan == uefi.SCAN_ESC:
        return ESCAPE
    k.state.dead = 0
    key = FIRST_KEY + scan
    if shift & (uefi.CONTROL_PRESSED | ALT_PRESSED) != 0 and (key == LEFT or key == RIGHT):
        return WORD_LEFT if key == LEFT else WORD_RIGHT
    return key if key <= F1 + 11 else 0


def key_of_unit(k: Keyboard, unit: int, shift: int, control: bool) -> int:
    """The same for a key that has a character on a US keyboard."""
    alt = shift & ALT_PRESSED != 0
    if k.layout > 0 and (shift & uefi.RIGHT_ALT_PRESSED != 0 or (alt and shift & uefi.CONTROL_PRESSED != 0)):
        return key_of_character(k, character_at(k.layout, unit, True))
    character = character_at(k.layout, unit, False)
    if control:
        return character & 31 if 97 <= character | 32 <= 122 else 0
    if alt and (character == 98 or character == 102):
        return WORD_LEFT if character == 98 else WORD_RIGHT
    return key_of_character(k, character)


def key_of_character(k: Keyboard, character: int) -> int:
    """A character typed on the firmware's keyboard, joined with the dead key before it; 0 where it is dead itself."""
    before = k.state.dead
    dead = dead_number(character) if k.layout > 0 else 0
    if before == 0 or character == 0:
        k.state.dead = dead
        return character if dead == 0 else 0
    k.state.dead = 0
    if dead > 0:
        character = int(ACCENT[dead - 1])
    else:
        together = combined(before, character)
        if together != 0:
            return together
    k.state.next = character
    return int(ACCENT[before - 1])


def key_of_line(k: Keyboard) -> int:
    """The next key from the serial line; 0 where none waits."""
    for _ in range(MOST_LOOKS):
        byte = read_byte(k.serial)
        if byte < 0:
            break
        k.state.heard_at = cycles()
        key = key_of_byte(k, byte)
        if key != 0:
            return key
    quiet = cycles() - k.state.heard_at
    alone = False
    if k.state.mode != GROUND and quiet >= ESCAPE_MS * k.figures.cycles_per_ms:
        alone = k.state.mode == ESCAPED and k.state.pasting == 0
        k.state.mode = GROUND
    if k.state.pasting != 0 and quiet >= PASTE_MS * k.figures.cycles_per_ms:
        k.state.pasting = 0
    return ESCAPE if alone else 0


def key_of_byte(k: Keyboard, byte: int) -> int:
    """The key that is complete with a byte of the serial line; 0 where none is."""
    if k.state.mode != GROUND:
        key = key_of_sequence(k, byte)
        if key >= 0:
            return 0 if k.state.pasting != 0 and key != RESIZED else key
    if byte >= 0x80:
        k.state.after_return = 0
        return key_of_part(k, byte)
    k.state.n_part = 0
    if byte == ESCAPE:
        k.state.mode = ESCAPED
        return 0
    after_return = k.state.after_return
    k.state.after_return = int(byte == RETURN)
    if byte == LINE_FEED and after_return != 0:
        return 0
    if byte == LINE_FEED or byte == RETURN:
        return RETURN if k.state.pasting == 0 else LINE_FEED
    if k.state.pasting != 0 and byte != TAB and (byte < 32 or byte == DELETE_BYTE):
        return 0
    return BACKSPACE if byte == DELETE_BYTE else byte


def key_of_part(k: Keyboard, byte: int) -> int:
    """The same for a byte of a character of several; what is not UTF-8 is dropped, and so are the controls of C1."""
    if byte >= 0xC0:
        k.state.n_part = 0
    elif k.state.n_part == 0:
        return 0
    n = k.state.n_part
    k.state.part[n] = byte
    rest, _ = lead(int(k.state.part[0]))
    if n < rest or rest == 0:
        k.state.n_part = n + 1 if rest > 0 else 0
        return 0
    k.state.n_part = 0
    code_point, length = decode_character(k.state.part, 0, n + 1)
    return code_point if length == n + 1 and code_point >= 0xA0 else 0


def key_of_sequence(k: Keyboard, byte: int) -> int:
    """The key that is complete with a byte of an escape sequence; 0: none is; -1: the byte is no part of it."""
    mode = k.state.mode
    k.state.mode = GROUND
    if mode == ESCAPED:
        return key_of_escape(k, byte)
    if mode == LINUX_FUNCTION:
        return F1 + byte - 65 if 65 <= byte <= 69 else 0
    if mode == STRING:
        k.state.mode = GROUND if byte == 7 or byte == 24 else ESCAPED if byte == ESCAPE else STRING
        return 0
    if byte == ESCAPE:
        k.state.mode = ESCAPED
        return 0
    if byte < 32 or byte >= 127:
        return -1
    if 48 <= byte <= 57:
        at = k.state.n_numbers
        k.state.numbers[at] = min(k.state.numbers[at] * 10 + byte - 48, 9999)
    elif byte == 59 or byte == 58:
        k.state.n_numbers = min(k.state.n_numbers + 1, 2)
    elif byte < 64:
        k.state.strange = 1
    elif byte == 91 and mode == CONTROL_SEQUENCE and k.state.numbers[0] == 0:
        k.state.mode = LINUX_FUNCTION
        return 0
    else:
        return key_of_final(k, mode, byte) if k.state.strange == 0 else 0
    k.state.mode = mode
    return 0


def key_of_escape(k: Keyboard, byte: int) -> int:
    """The same for the byte behind an escape: the beginning of a sequence, or a character typed with Alt."""
    if byte == ESCAPE:
        k.state.mode = ESCAPED
        return ESCAPE
    if byte == 91 or byte == 79:
        k.state.mode = CONTROL_SEQUENCE if byte == 91 else SINGLE_SHIFT
        k.state.strange = 0
        k.state.n_numbers = 0
        fill_bytes(address_of(k.state.numbers), 0, 8 * len(k.state.numbers))
        return 0
    if byte == 80 or byte == 88 or 93 <= byte <= 95:
        k.state.mode = STRING
        return 0
    if byte == RETURN or byte == LINE_FEED:
        k.state.after_return = int(byte == RETURN)
        return LINE_FEED
    if byte == BACKSPACE or byte == DELETE_BYTE:
        return CONTROL_W
    if byte == 98 or byte == 102:
        return WORD_LEFT if byte == 98 else WORD_RIGHT
    return -1 if byte < 32 or byte > 127 else 0


def key_of_final(k: Keyboard, mode: int, byte: int) -> int:
    """The key of a complete sequence with the final `byte`; 0 where there is no such key."""
    first = k.state.numbers[0]
    second = k.state.numbers[1]
    held = (second if k.state.n_numbers > 0 else first) - 1
    if byte == 126:
        if first == 200 or first == 201:
            k.state.pasting = int(first == 200)
            k.state.after_return = 0
        if first == 27 and k.state.numbers[2] == RETURN:
            return LINE_FEED
        return int(_NUMBERED[first]) if first < len(_NUMBERED) else 0
    if byte == 82 and mode == CONTROL_SEQUENCE and first > 1:
        k.serial.rows = min(first, LARGEST)
        k.serial.columns = min(max(second, 1), LARGEST)
        k.serial.sized = 1
        return RESIZED
    if byte == 117 and first == RETURN:
        return LINE_FEED if second > 1 else RETURN
    if byte == 77 and mode == SINGLE_SHIFT:
        return RETURN
    if (byte == 67 or byte == 68) and held > 0 and held & 6 != 0:
        return WORD_RIGHT if byte == 67 else WORD_LEFT
    if (byte == 99 or byte == 100) and mode == SINGLE_SHIFT:
        return WORD_RIGHT if byte == 99 else WORD_LEFT
    return int(_LETTERED[byte - 65]) if 65 <= byte < 65 + len(_LETTERED) else 0
