"""What an answer says: from the token just made to whole characters of thought and text, without marks and stops."""

from barelm.contract.serving.answer_state import BY_LENGTH, BY_STOP
from barelm.contract.serving.request_state import OPENAI_TEXT
from barelm.contract.serving.slot_state import SaidText, Slot
from barelm.dialect.types import U8
from barelm.kernels.text import thoughts
from barelm.kernels.text.chat_turn import chat_set, has_chat
from barelm.kernels.text.stops import watch_stops
from barelm.kernels.text.thoughts import THOUGHT
from barelm.kernels.text.tokenizer import Vocabulary, piece
from barelm.kernels.text.tool_calls import call_mark
from barelm.kernels.text.tool_turns import has_tools
from barelm.kernels.text.utf8 import byte_at, lead
from barelm.metal.serving.slots import tokens_of

GOES_ON = -1


def begin_saying(slot: Slot, v: Vocabulary) -> None:
    """Nothing is said yet."""
    slot.n_held = 0
    slot.n_pairs = 0
    slot.text.n = 0
    slot.text.told = 0
    slot.thought.n = 0
    slot.thought.told = 0
    slot.watches = 0
    if has_chat(v) and slot.terms.api != OPENAI_TEXT:
        pieces = chat_set(v, slot.terms.think)
        slot.watches = int(len(thoughts.marks_of(v, pieces)) > 0)
        thoughts.begin_watch(slot.watch, v, pieces)


def say_token(slot: Slot, v: Vocabulary) -> int:
    """Take the last id of the slot; returns why the answer ends with it, or GOES_ON."""
    tokens = tokens_of(slot)
    previous = int(tokens[slot.n - 2]) if slot.n > 1 else -1
    token = int(tokens[slot.n - 1])
    lo, hi = mark_of_call(slot, v, token)
    if hi > lo:
        return say_mark(slot, v, v.special_texts[lo:hi])
    ended = GOES_ON
    if slot.watches != 0:
        thoughts.watch_token(slot.watch, v, previous, token)
        ended = say_watched(slot, v, False)
    else:
        lo, hi = piece(v, previous, token)
        for at in range(lo, hi):
            if ended == GOES_ON:
                ended = say_byte(slot, byte_at(v.pieces, at))
    if ended == GOES_ON and slot.n >= slot.most:
        return BY_LENGTH
    return ended


def mark_of_call(slot: Slot, v: Vocabulary, token: int) -> tuple[int, int]:
    """Where the text of a special token stands that opens, parts or closes calls; 0, 0: it is none."""
    return call_mark(v, chat_set(v, slot.terms.think), token) if slot.terms.tools > 0 and has_tools(v) else (0, 0)


def say_mark(slot: Slot, v: Vocabulary, mark: U8) -> int:
    """The text of a token that prints nothing, so that the call is found; returns as `say_token`."""
    ended = say_watched(slot, v, True) if slot.watches != 0 else GOES_ON
    for at in range(len(mark)):
        if ended == GOES_ON:
            ended = say_byte(slot, byte_at(mark, at))
    return BY_LENGTH if ended == GOES_ON and slot.n >= slot.most else ended


def say_watched(slot: Slot, v: Vocabulary, all_of_it: bool) -> int:
    """Take what is no mark of a thought, nor can become one any more; returns as `say_token`."""
    w = slot.watch
    marks = thoughts.marks_of(v, chat_set(v, slot.terms.think))
    length = 1
    while length > 0:
        free, length, effect = thoughts.next_free(w, marks, all_of_it)
        for k in range(free):
            if thoughts.show_watched(w, k):
                ended = keep(slot.thought, byte_at(w.text, k)) if w.state == THOUGHT else say_byte(
                    slot, byte_at(w.text, k))
                if ended != GOES_ON:
                    return ended
        thoughts.pass_over(w, free + length, effect)
    return GOES_ON


def say_byte(slot: Slot, byte: int) -> int:
    """A byte of the answer after those held back, as far as they can become no stop; returns as `say_token`."""
    stops = slot.terms.stops[:slot.terms.stop_bytes]
    if len(stops) == 0:
        return keep(slot.text, byte)
    pending = slot.held_back
    pending[slot.n_held] = byte
    slot.n_held += 1
    free, stopped = watch_stops(pending, slot.n_held, stops)
    for at in range(free):
        if keep(slot.text, byte_at(pending, at)) != GOES_ON:
            return BY_LENGTH
    for at in range(free, slot.n_held):
        pending[at - free] = pending[at]
    slot.n_held -= free
    return BY_STOP if stopped else GOES_ON


def keep(said: SaidText, byte: int) -> int:
    """One byte more, as long as there is room; returns as `say_token`."""
    if said.n == len(said.text):
        return BY_LENGTH
    said.text[said.n] = byte
    said.n += 1
    return GOES_ON


def say_rest(slot: Slot, v: Vocabulary, ended: int) -> None:
    """At the end, what was held back: of marks always, of stops where it turned out to be none."""
    if ended == BY_STOP:
        return
    if slot.watches != 0 and say_watched(slot, v, True) == BY_STOP:
        slot.answer.reason = BY_STOP
        return
    for at in range(slot.n_held):
        keep(slot.text, byte_at(slot.held_back, at))
    slot.n_held = 0


def whole_characters(data: U8, lo: int, hi: int) -> int:
    """Where the last whole character of data[lo:hi] ends: one that is begun is waited for."""
    for back in range(1, min(4, hi - lo + 1)):
        first = byte_at(data, hi - back)
        if first & 0xC0 != 0x80:
            return hi - back if lead(first)[0] >= back else hi
    return hi


def forget_told(said: SaidText) -> None:
    """Of a stream what is told need not be kept."""
    for at in range(said.told, said.n):
        said.text[at - said.told] = said.text[at]
    said.n -= said.told
    said.told = 0
