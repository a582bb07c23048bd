"""Calls of tools in what a model says, found by the pieces of the packed chat template: no family is known by name.

A reply opens its calls, makes them one after another, and closes them; `layout.OPENS_CALLS`, CALL, BETWEEN_CALLS and
CLOSES_CALLS say how.  White space within does not count, since models are free with it.  The text is what the model
made, with those special tokens as text that `kernels.text.tokenizer` prints as nothing; it may end anywhere:

    begin_calls(c)
    # Whenever the text has grown to n, until neither happens:
    if next_call(v, pieces, text, n, ended, c): ...  # text[c.name_lo:c.name_hi] and so on is a call
    elif c.free > c.at: ...  # text[c.at:c.free] is text for certain: tell it, then told(c)
"""

from barelm.contract import layout
from barelm.contract.serving.call_state import CallReading
from barelm.contract.serving.json_state import JsonSteps
from barelm.dialect.memory import address_of, cells, fill_bytes
from barelm.dialect.types import I64, U8
from barelm.kernels.text.json_steps import begin_json_object, is_whole, push_json
from barelm.kernels.text.json_text import next_solid
from barelm.kernels.text.tokenizer import Vocabulary, special_token
from barelm.kernels.text.tool_turns import CALL, ID, KIND, NAME, ROW_WORDS, TEXT, tool_piece
from barelm.kernels.text.utf8 import byte_at

OTHERWISE, CUT_OFF = -1, -2
"""Instead of where a pattern ends: the text is another; the text ends within it."""
LONGEST_NAME = 128
AROUND_CALLS = (layout.OPENS_CALLS, layout.CALL, layout.BETWEEN_CALLS, layout.CLOSES_CALLS)


def begin_calls(c: CallReading) -> None:
    """Nothing of a reply is read yet."""
    fill_bytes(c.address, 0, CallReading.BYTES)
    c.fresh = 1


def next_call(v: Vocabulary, pieces: int, text: U8, n: int, ended: int, c: CallReading) -> bool:
    """Whether text[c.at:n] begins with a call, white space before it included; `ended`: no more comes.

    If not, what is before c.free is text; a call that begins there is found once it is `told`.
    """
    if c.behind != 0:
        end = match_call(v, pieces, layout.BETWEEN_CALLS, text, n, c)
        if end >= 0:
            return take_call(c, end)
        if end == OTHERWISE or ended != 0:
            lo, hi = tool_piece(v, pieces, layout.CLOSES_CALLS)
            end = match_piece(v.tool_texts, lo, hi, text, c.at, n, c)
            if end == CUT_OFF and ended != 0:
                end = n
        if end == CUT_OFF:
            c.free = c.at
            return False
        c.behind = 0
        c.at = max(c.at, end)
    anywhere = opens_anywhere(v, pieces)
    start = c.at
    c.free = n
    first = next_solid(text, start, n)
    for at in range(start, n):
        if anywhere or (c.fresh != 0 and at <= first):
            c.at = at
            end = match_call(v, pieces, layout.OPENS_CALLS, text, n, c)
            c.at = start
            if end >= 0 and at == start:
                return take_call(c, end)
            if end >= 0 or (end == CUT_OFF and ended == 0):
                c.free = at
                break
    c.fresh &= int(c.free <= first)
    return False


def told(c: CallReading) -> None:
    """What was free is told."""
    c.at = c.free


def take_call(c: CallReading, end: int) -> bool:
    """A call ends here."""
    c.at = end
    c.free = end
    c.behind = 1
    c.n_calls += 1
    return True


def opens_anywhere(v: Vocabulary, pieces: int) -> bool:
    """Whether calls are told by their opening wherever it stands; one that is plain JSON only begins a reply."""
    lo, hi = tool_piece(v, pieces, layout.OPENS_CALLS)
    lo = next_solid(v.tool_texts, lo, hi)
    return lo < hi and byte_at(v.tool_texts, lo) != 0x7B


def match_call(v: Vocabulary, pieces: int, before: int, text: U8, n: int, c: CallReading) -> int:
    """Where the call ends that begins at c.at with a piece before it, or OTHERWISE, or CUT_OFF."""
    lo, hi = tool_piece(v, pieces, before)
    if before == layout.BETWEEN_CALLS and lo == hi:
        return OTHERWISE
    at = match_piece(v.tool_texts, lo, hi, text, c.at, n, c)
    if at < 0:
        return at
    lo, hi = tool_piece(v, pieces, layout.CALL)
    return match_piece(v.tool_texts, lo, hi, text, at, n, c)


def match_piece(texts: U8, lo: int, hi: int, text: U8, at: int, n: int, c: CallReading) -> int:
    """Where text[at:n] has followed the piece texts[lo:hi], its slots noted, or OTHERWISE, or CUT_OFF."""
    lo = next_solid(texts, lo, hi)
    while lo < hi:
        wanted = byte_at(texts, lo)
        at = next_solid(text, at, n)
        following = next_solid(texts, lo + 1, hi)
        if wanted == layout.ARGUMENTS:
            c.arguments_lo = at
            at = object_end(text, at, n)
            c.arguments_hi = at
        elif wanted == layout.NAME or wanted == layout.ID:
            end = word_end(text, at, n, byte_at(texts, following) if following < hi else 0)
            if wanted == layout.NAME:
                c.name_lo = at
                c.name_hi = end
            else:
                c.id_lo = at
                c.id_hi = end
            at = OTHERWISE if end == at else end
        elif at >= n:
            at = CUT_OFF
        else:
            at = at + 1 if byte_at(text, at) == wanted else OTHERWISE
        if at < 0:
            return at
        lo = following
    return at


def object_end(text: U8, at: int, n: int) -> int:
    """Where the JSON object ends that begins here, or OTHERWISE, or CUT_OFF."""
    words = cells(7)
    j = JsonSteps(address_of(words))
    begin_json_object(j)
    while at < n and not is_whole(j):
        if not push_json(j, byte_at(text, at)):
            return OTHERWISE
        at += 1
    return at if is_whole(j) else CUT_OFF


def word_end(text: U8, at: int, n: int, stop: int) -> int:
    """Where a name ends: at white space or the byte that is to follow it; or OTHERWISE, or CUT_OFF."""
    begin = at
    while at < n and byte_at(text, at) > 32 and byte_at(text, at) != stop:
        at += 1
        if at - begin > LONGEST_NAME:
            return OTHERWISE
    return at if at < n else CUT_OFF


def free_of_calls(v: Vocabulary, pieces: int, text: U8, lo: int, n: int) -> int:
    """Up to where a reply text[:n] is certainly text that goes before its calls, text[:lo] being so."""
    words = cells(11)
    c = CallReading(address_of(words))
    begin_calls(c)
    c.at = lo
    c.fresh = int(next_solid(text, 0, n) >= lo)
    return lo if next_call(v, pieces, text, n, 0, c) else int(c.free)


def find_calls(v: Vocabulary, pieces: int, text: U8, n: int, rows: I64) -> tuple[int, int]:
    """All calls of a whole reply text[:n] into rows of `kernels.text.tool_turns`: how many, and where the text before
    them ends.
    """
    words = cells(11)
    c = CallReading(address_of(words))
    begin_calls(c)
    before = 0
    goes_on = True
    while goes_on and (c.n_calls + 1) * ROW_WORDS <= len(rows):
        goes_on = next_call(v, pieces, text, n, 1, c)
        if goes_on:
            note_call(c, rows[ROW_WORDS * (c.n_calls - 1):])
        elif c.free > c.at:
            before = c.free if c.n_calls == 0 else before
            told(c)
            goes_on = True
    return int(c.n_calls), before


def note_call(c: CallReading, row: I64) -> None:
    """The call just found as a row."""
    row[KIND] = CALL
    row[TEXT] = c.arguments_lo
    row[TEXT + 1] = c.arguments_hi
    row[NAME] = c.name_lo
    row[NAME + 1] = c.name_hi
    row[ID] = c.id_lo
    row[ID + 1] = c.id_hi


def call_mark(v: Vocabulary, pieces: int, token: int) -> tuple[int, int]:
    """Where in `special_texts` the text of a special token stands that the pieces around calls have; 0, 0: it is none.

    What such tokens say has to be in the text that is read here, though they print nothing.
    """
    for k in range(v.n_specials):
        found = special_token(v, k)
        if found.id == token:
            for piece in range(len(AROUND_CALLS)):
                lo, hi = tool_piece(v, pieces, AROUND_CALLS[piece])
                if holds(v.tool_texts[lo:hi], v.special_texts[found.begin:found.end]):
                    return found.begin, found.end
    return 0, 0


def holds(text: U8, part: U8) -> bool:
    """Whether the part stands somewhere in the text."""
    for at in range(len(text) - len(part) + 1):
        same = 0
        while same < len(part) and text[at + same] == part[same]:
            same += 1
        if same == len(part):
            return True
    return False
