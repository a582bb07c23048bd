"""Thoughts: what a model writes down before its answer, told apart while a reply is being made.

The marks of a set of pieces (`layout.MARKS`) are texts, each with its effect in front and a zero behind it:

    t  a thought begins, where nothing but white space came before       a  within a thought, the answer begins
    T  a thought begins, wherever it stands                              A  the answer begins, wherever it stands
    -  nothing but that it is not shown

Control tokens print nothing; within marks their texts count.  What could still become a mark is held back.
"""

from barelm.contract import layout
from barelm.contract.conversation_state import ReplyWatch
from barelm.dialect.types import U8
from barelm.kernels.text.chat_turn import chat_flags, chat_piece
from barelm.kernels.text.tokenizer import Vocabulary, piece, special_token
from barelm.kernels.text.utf8 import byte_at

BEGINNING, THOUGHT, ANSWER = 0, 1, 2
"""Where a reply is: at its beginning, where it may yet turn out to be a thought; within one; behind it."""

ANYWHERE_THOUGHT, ANYWHERE_ANSWER, FIRST_THOUGHT, LATER_ANSWER = 84, 65, 116, 97
"""The effects: T, A, t, a."""


def marks_of(v: Vocabulary, pieces: int) -> U8:
    """The marks of a set of pieces; none where the model does not think."""
    lo, hi = chat_piece(v, pieces, layout.MARKS)
    return v.chat_texts[lo:hi]


def begin_watch(w: ReplyWatch, v: Vocabulary, pieces: int) -> None:
    """Watch a reply from its beginning."""
    w.n = 0
    w.fresh = 1
    w.state = THOUGHT if chat_flags(v, pieces) & layout.THINKS_AT_ONCE else BEGINNING


def watch_token(w: ReplyWatch, v: Vocabulary, previous: int, token: int) -> None:
    """Take what a token prints; of one that prints nothing its text, which is never shown."""
    lo, hi = piece(v, previous, token)
    for at in range(lo, hi):
        put_watched(w, byte_at(v.pieces, at), 0)
    if lo == hi:
        for k in range(v.n_specials):
            found = special_token(v, k)
            if found.id == token:
                for at in range(found.begin, found.end):
                    put_watched(w, byte_at(v.special_texts, at), 1)


def put_watched(w: ReplyWatch, byte: int, silent: int) -> None:
    """One byte more; what does not fit, of a token longer than any mark, is lost."""
    if w.n < len(w.text):
        w.text[w.n] = byte
        w.silent[w.n] = silent
        w.n += 1


def next_mark(w: ReplyWatch, marks: U8) -> tuple[int, int, int]:
    """How many bytes can be shown by now; how long the mark is that stands there, 0 for none; and its effect.

    Where several end there the longest counts.
    """
    free = w.n
    for at in range(w.n):
        length = 0
        effect = 0
        lo = 0
        while lo < len(marks):
            hi = lo + 1
            while hi < len(marks) and marks[hi] != 0:
                hi += 1
            same = 0
            while lo + 1 + same < hi and at + same < w.n and w.text[at + same] == marks[lo + 1 + same]:
                same += 1
            if lo + 1 + same == hi and same > length and counts(w, at, int(marks[lo])):
                length = same
                effect = int(marks[lo])
            elif at + same == w.n and counts(w, at, int(marks[lo])):
                free = min(free, at)
            lo = hi + 1
        if free <= at:
            return free, 0, 0
        if length > 0:
            return at, length, effect
    return free, 0, 0


def next_free(w: ReplyWatch, marks: U8, last: bool) -> tuple[int, int, int]:
    """The same; where nothing more comes (`last`), what could have become a mark can be shown too."""
    free, length, effect = next_mark(w, marks)
    return (w.n if last and length == 0 else free), length, effect


def counts(w: ReplyWatch, at: int, effect: int) -> bool:
    """Whether a mark of this effect counts at text[at:]."""
    if effect == LATER_ANSWER:
        return bool(w.state == THOUGHT)
    if effect != FIRST_THOUGHT:
        return True
    for i in range(at):
        if not is_white(int(w.text[i])) and w.silent[i] == 0:
            return False
    return bool(w.state == BEGINNING)


def is_white(byte: int) -> bool:
    """Whether a byte is white space in ASCII."""
    return byte == 32 or 9 <= byte <= 13


def show_watched(w: ReplyWatch, k: int) -> bool:
    """Whether byte k of what can be shown is: white space at the beginning of thought and answer is not."""
    if w.silent[k] != 0 or (w.fresh != 0 and is_white(int(w.text[k]))):
        return False
    w.fresh = 0
    if w.state == BEGINNING:
        w.state = ANSWER
    return True


def pass_over(w: ReplyWatch, n: int, effect: int) -> None:
    """Forget the first n bytes, which were shown or end with a mark of this effect."""
    for i in range(n, w.n):
        w.text[i - n] = w.text[i]
        w.silent[i - n] = w.silent[i]
    w.n -= n
    before = w.state
    if effect == ANYWHERE_THOUGHT or effect == FIRST_THOUGHT:
        w.state = THOUGHT
    elif effect == ANYWHERE_ANSWER or effect == LATER_ANSWER:
        w.state = ANSWER
    if w.state != before:
        w.fresh = 1
