"""The line being typed: UTF-8 of one or several lines, with a cursor, and the lines typed before.

The history is one text, each line with a zero behind it, the oldest first.  Whoever looks through it finds the line
that was being typed at its end again: there it is kept meanwhile.
"""

from barelm.contract.board import Job
from barelm.contract.console_state import EditorState
from barelm.contract.regions import Workspace
from barelm.dialect.memory import address_of, cells, copy_bytes, memory
from barelm.dialect.types import U8
from barelm.kernels.text.utf8 import byte_at, encode_utf8
from barelm.metal.console.sinks import Console
from barelm.metal.console.stream import begin_input, end_input, fit_line, scroll, show_input
from barelm.metal.keys import keyboard
from barelm.metal.keys.keyboard import FIRST_KEY, LINE_FEED, RETURN, TAB, Keyboard, next_key, wait_for_key
from barelm.metal.processors.cores import rest_team, wake_team

KEPT, CHANGED, SUBMITTED, LEFT = 0, 1, 2, -1
"""What `edit` returns: nothing to draw, the line or the cursor changed, Enter was pressed, whoever typed leaves."""

PAGE_ROWS = 10
REST_MS = 3000
"""So long nobody types until the other processors may rest."""
A, B, C, D, E, F, H, K, L, P, U, W = 1, 2, 3, 4, 5, 6, 8, 11, 12, 16, 21, 23  # with Ctrl; N is 14
BACKSLASH = 92
BACK, FORTH = -1, 1


def open_editor(workspace: Workspace) -> EditorState:
    """The editor of a workspace, zeroed at first."""
    return workspace.editor


def read_line(con: Console, k: Keyboard, e: EditorState, job: Job, most_cores: int) -> int:
    """Have a line typed behind what is on the screen, an empty one unless `set_line` gave one to start with.

    The team rests while nobody types.  Returns its bytes, in `e.line`; or LEFT after Ctrl-C or Ctrl-D on an empty line,
    or without anything to type on.
    """
    if e.done != 0:
        set_line(e, e.line[:0])
    begin_input(con)
    show_input(con, e.line, e.n, e.cursor)
    drawn = True
    result = KEPT
    while result != SUBMITTED and result != LEFT:
        key = next_key(k)
        if key == 0:
            if not drawn:
                show_input(con, e.line, e.n, e.cursor)
            drawn = True
            key = wait_for_key(k, REST_MS)
            if key == 0:
                rest_team(job, k.figures.cycles_per_ms)
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
    end_input(con, e.line, e.n)
    wake_team(k.fw, job, most_cores, k.figures.cycles_per_ms)
    return e.n if result == SUBMITTED else LEFT


def set_line(e: EditorState, text: U8) -> None:
    """Start with a text, as much of it as there is room for, the cursor at its end."""
    n = min(len(text), len(e.line))
    while 0 < n < len(text) and int(text[n]) & 0xC0 == 0x80:
        n -= 1
    copy_bytes(address_of(e.line), address_of(text), n)
    forget_draft(e)
    e.n = n
    e.cursor = n
    e.done = 0
    e.left_out = len(text) - n


def edit(e: EditorState, key: int) -> int:
    """One key into the line."""
    n = e.n
    cursor = e.cursor
    if key == RETURN and n > 0 and cursor == n and int(e.line[n - 1]) == BACKSLASH:
        e.cursor = n - 1
        return replace(e, n, LINE_FEED)
    if key == RETURN:
        forget_draft(e)
        remember(e)
        e.done = 1
        return SUBMITTED
    if key == C or key == D and n == 0:
        forget_draft(e)
        e.n = 0
        e.cursor = 0
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
        e.cursor = min(to, cursor)
        return replace(e, max(to, cursor), 0)
    e.cursor = to
    return CHANGED if to != cursor else KEPT


def destination(e: EditorState, key: int) -> int:
    """Where a key moves the cursor; -1 where it does not move one, or there is no line above or below."""
    if key == keyboard.LEFT or key == B:
        return past_character(e, BACK)
    if key == keyboard.RIGHT or key == F:
        return past_character(e, FORTH)
    if key == keyboard.WORD_LEFT or key == keyboard.WORD_RIGHT:
        return past_word(e, BACK if key == keyboard.WORD_LEFT else FORTH)
    home = row_end(e, e.cursor, BACK)
    if key == keyboard.HOME or key == A:
        return home
    end = row_end(e, e.cursor, FORTH)
    if key == keyboard.END or key == E:
        return end
    if key == keyboard.UP and home > 0:
        return same_column(e, home, row_end(e, home - 1, BACK), home - 1)
    if key == keyboard.DOWN and end < e.n:
        return same_column(e, home, end + 1, row_end(e, end + 1, FORTH))
    return -1


def goes_on(e: EditorState, at: int) -> bool:
    """Whether a byte of the line is not the first of its character."""
    return byte_at(e.line, at) & 0xC0 == 0x80


def past_character(e: EditorState, step: int) -> int:
    """The place a character from the cursor."""
    at = e.cursor + step
    while 0 < at < e.n and goes_on(e, at):
        at += step
    return min(max(at, 0), e.n)


def past_word(e: EditorState, step: int) -> int:
    """The place behind the next word from the cursor; seen backwards, in front of it."""
    at = e.cursor
    for inside in range(2):
        while 0 <= at + min(step, 0) < e.n and is_of_word(byte_at(e.line, at + min(step, 0))) == (inside == 1):
            at += step
    return at


def row_end(e: EditorState, at: int, step: int) -> int:
    """The end of the row a place is in, or its beginning."""
    while 0 <= at + min(step, 0) < e.n and int(e.line[at + min(step, 0)]) != LINE_FEED:
        at += step
    return at


def is_of_word(byte: int) -> bool:
    """Whether a byte is part of a word: a letter, a digit, or of a character beyond ASCII."""
    return byte >= 0x80 or 97 <= byte | 32 <= 122 or 48 <= byte <= 57


def same_column(e: EditorState, home: int, lo: int, hi: int) -> int:
    """The place in line[lo:hi] before which there are as many characters as there are from `home` to the cursor."""
    column = 0
    for i in range(home, e.cursor):
        column += int(not goes_on(e, i))
    at = lo
    while at < hi and (column > 0 or goes_on(e, at)):
        column -= int(not goes_on(e, at))
        at += 1
    return at


def replace(e: EditorState, hi: int, key: int) -> int:
    """Put a character (0: nothing) in place of what is between the cursor and byte `hi`, where there is room for it."""
    word = cells(1)
    block = memory(address_of(word), 8)
    n_new = encode_utf8(block, key) if key != 0 else 0
    lo = e.cursor
    n = e.n
    shift = lo + n_new - hi
    if n + shift > len(e.line):
        e.left_out += 1
        return KEPT
    if shift == 0 and key == 0:
        return KEPT
    for i in range(n - hi):
        at = n - 1 - i if shift > 0 else hi + i
        e.line[at + shift] = e.line[at]
    copy_bytes(address_of(e.line) + lo, address_of(block), n_new)
    e.n = n + shift
    e.cursor = lo + n_new
    return CHANGED


def remember(e: EditorState) -> None:
    """Put the line into the history, unless it is empty, the last one there, or longer than half of it."""
    n = e.n
    used = e.used
    same = used > n and (used == n + 1 or int(e.history[used - n - 2]) == 0)
    for i in range(n):
        same = same and int(e.history[used - n - 1 + i]) == int(e.line[i])
    if n > 0 and n < len(e.history) // 2 and not same:
        append(e)


def append(e: EditorState) -> int:
    """Put the line, at most half of it long, at the end of the history, the oldest making room; returns where."""
    n = e.n
    used = e.used
    dropped = 0
    while used - dropped + n + 1 > len(e.history) or (dropped > 0 and int(e.history[dropped - 1]) != 0):
        dropped += 1
    for i in range(dropped, used):
        e.history[i - dropped] = e.history[i]
    used -= dropped
    copy_bytes(address_of(e.history) + used, address_of(e.line), n)
    e.history[used + n] = 0
    e.used = used + n + 1
    return used


def forget_draft(e: EditorState) -> None:
    """The line that is shown is the one being typed from here on."""
    if e.draft > 0:
        e.used = e.draft - 1
    e.draft = 0


def recall(e: EditorState, older: bool) -> int:
    """Show the line before in the history, or the one after; a line longer than half of the history stays."""
    if e.draft == 0:
        if not older or e.used == 0 or e.n >= len(e.history) // 2:
            return KEPT
        e.shown = append(e)
        e.draft = e.shown + 1
    at = e.shown
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
    e.n = n
    e.cursor = n
    e.shown = at
    if at + 1 == e.draft:
        forget_draft(e)
    return CHANGED
