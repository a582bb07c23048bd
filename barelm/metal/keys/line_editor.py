"""The line being typed: UTF-8 of one or several lines, with a cursor, and the lines typed before.

The history is one text, each line with a zero behind it, the oldest first.  Whoever looks through it finds the line
that was being typed at its end again: there it is kept meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

from barelm.contract.regions import Workspace
from barelm.dialect.memory import address_of, cells, i64_array, memory
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8
from barelm.kernels.text.utf8 import encode_utf8
from barelm.metal import arena
from barelm.metal.console.sinks import Console
from barelm.metal.console.stream import begin_input, end_input, fit_line, scroll, show_input
from barelm.metal.keys import keyboard
from barelm.metal.keys.keyboard import FIRST_KEY, LINE_FEED, RETURN, TAB, Keyboard, next_key, wait_for_key
from barelm.metal.processors.cores import rest_team, wake_team

KEPT, CHANGED, SUBMITTED, LEFT = 0, 1, 2, -1
"""What `edit` returns: nothing to draw, the line or the cursor changed, Enter was pressed, whoever typed leaves."""

N = 0  # words of Editor.state: bytes of the line
CURSOR = 1  # the byte it is before
USED = 2  # bytes of the history
SHOWN = 3  # where in the history the line was taken from
DRAFT = 4  # 1 + where the line being typed is kept while another is shown; 0: none is
DONE = 5  # the line was submitted: the next one begins empty
STATE_WORDS = 16
STATE = arena.KEYBOARD + 2048  # in the workspace, behind the keyboard's

PAGE_ROWS = 10
REST_MS = 3000
"""So long nobody types until the other processors may rest."""
A, B, C, D, E, F, H, K, L, P, U, W = 1, 2, 3, 4, 5, 6, 8, 11, 12, 16, 21, 23  # with Ctrl; N is 14
BACKSLASH = 92


class Editor(NamedTuple):
    """A line, the lines before it, and where one is in them."""

    line: U8
    history: U8
    state: I64


@metal
def open_editor(workspace: Workspace) -> Editor:
    """The editor of a workspace, zeroed at first."""
    return Editor(memory(workspace.address + arena.LINE, arena.LINE_BYTES),
                  memory(workspace.address + arena.HISTORY, arena.HISTORY_BYTES),
                  i64_array(memory(workspace.address + STATE, 8 * STATE_WORDS), 0, STATE_WORDS))


@metal
def read_line(con: Console, k: Keyboard, e: Editor) -> int:
    """Have a line typed behind what is on the screen, an empty one unless `set_line` gave one to start with.

    Returns its bytes, in `e.line`; or LEFT after Ctrl-C or Ctrl-D on an empty line, or without anything to type on.
    """
    if e.state[DONE] != 0:
        set_line(e, e.line[:0])
    begin_input(con)
    show_input(con, e.line, e.state[N], e.state[CURSOR])
    drawn = True
    result = KEPT
    while result != SUBMITTED and result != LEFT:
        key = next_key(k)
        if key == 0:
            if not drawn:
                show_input(con, e.line, e.state[N], e.state[CURSOR])
            drawn = True
            key = wait_for_key(k, REST_MS)
            if key == 0:
                rest_team(k.b.job, k.b.figures.cycles_per_ms)
                key = wait_for_key(k, -1)
        if key < 0:
            result = LEFT
        elif key == keyboard.PAGE_UP or key == keyboard.PAGE_DOWN:
            scroll(con, PAGE_ROWS if key == keyboard.PAGE_DOWN else -PAGE_ROWS)
        elif key == keyboard.RESIZED or key == L:
            if key == keyboard.RESIZED:
                fit_line(con)
            drawn = False
        else:
            result = edit(e, key)
            drawn = drawn and result == KEPT
    end_input(con, e.line, e.state[N])
    wake_team(k.fw, k.b.job, k.b.settings.cores, k.b.figures.cycles_per_ms)
    return e.state[N] if result == SUBMITTED else LEFT


@metal
def set_line(e: Editor, text: U8) -> None:
    """Start with a text, as much of it as there is room for, the cursor at its end."""
    n = min(len(text), len(e.line))
    while 0 < n < len(text) and int(text[n]) & 0xC0 == 0x80:
        n -= 1
    for i in range(n):
        e.line[i] = text[i]
    forget_draft(e)
    e.state[N] = n
    e.state[CURSOR] = n
    e.state[DONE] = 0


@metal
def edit(e: Editor, key: int) -> int:
    """One key into the line."""
    n = e.state[N]
    cursor = e.state[CURSOR]
    if key == RETURN and n > 0 and cursor == n and int(e.line[n - 1]) == BACKSLASH:
        e.state[CURSOR] = n - 1
        replace(e, n, LINE_FEED)
        return CHANGED
    if key == RETURN:
        forget_draft(e)
        remember(e)
        e.state[DONE] = 1
        return SUBMITTED
    if key == C or key == D and n == 0:
        forget_draft(e)
        e.state[N] = 0
        e.state[CURSOR] = 0
        return CHANGED if n > 0 else LEFT
    if key == P or key == 14:
        return recall(e, key == P)
    if 32 <= key < FIRST_KEY and not 127 <= key < 160 or key == TAB or key == LINE_FEED:
        return replace(e, cursor, key)
    removing = key
    if key == H or key == W or key == U:
        removing = keyboard.LEFT if key == H else keyboard.WORD_LEFT if key == W else keyboard.HOME
    elif key == D or key == keyboard.DELETE or key == K:
        removing = keyboard.END if key == K else keyboard.RIGHT
    to = destination(e, removing)
    if to < 0:
        return recall(e, key == keyboard.UP) if key == keyboard.UP or key == keyboard.DOWN else KEPT
    if removing != key:
        if key == K and to == cursor and to < n:
            to += 1  # the line feed itself
        e.state[CURSOR] = min(to, cursor)
        return replace(e, max(to, cursor), 0)
    e.state[CURSOR] = to
    return CHANGED if to != cursor else KEPT


@metal
def destination(e: Editor, key: int) -> int:
    """Where a key moves the cursor; -1 where it does not move one, or there is no line above or below."""
    n = e.state[N]
    at = e.state[CURSOR]
    if key == keyboard.LEFT or key == B:
        at -= 1
        while at > 0 and int(e.line[at]) & 0xC0 == 0x80:
            at -= 1
        return max(at, 0)
    if key == keyboard.RIGHT or key == F:
        at += 1
        while at < n and int(e.line[at]) & 0xC0 == 0x80:
            at += 1
        return min(at, n)
    if key == keyboard.WORD_LEFT:
        while at > 0 and not is_of_word(int(e.line[at - 1])):
            at -= 1
        while at > 0 and is_of_word(int(e.line[at - 1])):
            at -= 1
        return at
    if key == keyboard.WORD_RIGHT:
        while at < n and not is_of_word(int(e.line[at])):
            at += 1
        while at < n and is_of_word(int(e.line[at])):
            at += 1
        return at
    home = at
    while home > 0 and int(e.line[home - 1]) != LINE_FEED:
        home -= 1
    if key == keyboard.HOME or key == A:
        return home
    end = at
    while end < n and int(e.line[end]) != LINE_FEED:
        end += 1
    if key == keyboard.END or key == E:
        return end
    if key == keyboard.UP and home > 0:
        first = home - 1
        while first > 0 and int(e.line[first - 1]) != LINE_FEED:
            first -= 1
        return same_column(e, home, first, home - 1)
    if key == keyboard.DOWN and end < n:
        last = end + 1
        while last < n and int(e.line[last]) != LINE_FEED:
            last += 1
        return same_column(e, home, end + 1, last)
    return -1


@metal
def is_of_word(byte: int) -> bool:
    """Whether a byte is part of a word: a letter, a digit, or of a character beyond ASCII."""
    return byte >= 0x80 or 97 <= byte | 32 <= 122 or 48 <= byte <= 57


@metal
def same_column(e: Editor, home: int, lo: int, hi: int) -> int:
    """The place in line[lo:hi] before which there are as many characters as there are from `home` to the cursor."""
    column = 0
    for i in range(home, e.state[CURSOR]):
        column += int(int(e.line[i]) & 0xC0 != 0x80)
    at = lo
    while at < hi and (column > 0 or int(e.line[at]) & 0xC0 == 0x80):
        column -= int(int(e.line[at]) & 0xC0 != 0x80)
        at += 1
    while at < hi and int(e.line[at]) & 0xC0 == 0x80:
        at += 1
    return at


@metal
def replace(e: Editor, hi: int, key: int) -> int:
    """Put a character (0: nothing) in place of what is between the cursor and byte `hi`, where there is room for it."""
    word = cells(1)
    block = memory(address_of(word), 8)
    n_new = encode_utf8(block, key) if key != 0 else 0
    lo = e.state[CURSOR]
    n = e.state[N]
    shift = lo + n_new - hi
    if shift == 0 and key == 0 or n + shift > len(e.line):
        return KEPT
    if shift > 0:
        for i in range(n - 1, hi - 1, -1):
            e.line[i + shift] = e.line[i]
    else:
        for i in range(hi, n):
            e.line[i + shift] = e.line[i]
    for i in range(n_new):
        e.line[lo + i] = block[i]
    e.state[N] = n + shift
    e.state[CURSOR] = lo + n_new
    return CHANGED


@metal
def remember(e: Editor) -> None:
    """Put the line into the history, unless it is empty, the last one there, or longer than half of it."""
    n = e.state[N]
    used = e.state[USED]
    same = used > n and (used == n + 1 or int(e.history[used - n - 2]) == 0)
    for i in range(n):
        same = same and int(e.history[used - n - 1 + i]) == int(e.line[i])
    if n > 0 and n < len(e.history) // 2 and not same:
        append(e)


@metal
def append(e: Editor) -> int:
    """Put the line, at most half of it long, at the end of the history, the oldest making room; returns where."""
    n = e.state[N]
    used = e.state[USED]
    dropped = 0
    while used - dropped + n + 1 > len(e.history) or (dropped > 0 and int(e.history[dropped - 1]) != 0):
        dropped += 1
    for i in range(dropped, used):
        e.history[i - dropped] = e.history[i]
    used -= dropped
    for i in range(n):
        e.history[used + i] = e.line[i]
    e.history[used + n] = 0
    e.state[USED] = used + n + 1
    return used


@metal
def forget_draft(e: Editor) -> None:
    """The line that is shown is the one being typed from here on."""
    if e.state[DRAFT] > 0:
        e.state[USED] = e.state[DRAFT] - 1
    e.state[DRAFT] = 0


@metal
def recall(e: Editor, older: bool) -> int:
    """Show the line before in the history, or the one after; a line longer than half of the history stays."""
    if e.state[DRAFT] == 0:
        if not older or e.state[USED] == 0 or e.state[N] >= len(e.history) // 2:
            return KEPT
        e.state[SHOWN] = append(e)
        e.state[DRAFT] = e.state[SHOWN] + 1
    at = e.state[SHOWN]
    if older:
        if at == 0:
            return KEPT
        at -= 1
        while at > 0 and int(e.history[at - 1]) != 0:
            at -= 1
    else:
        while int(e.history[at]) != 0:
            at += 1
        at += 1
    n = 0
    while int(e.history[at + n]) != 0:
        e.line[n] = e.history[at + n]
        n += 1
    e.state[N] = n
    e.state[CURSOR] = n
    e.state[SHOWN] = at
    if at + 1 == e.state[DRAFT]:
        forget_draft(e)
    return CHANGED
