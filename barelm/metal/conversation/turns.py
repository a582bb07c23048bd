"""What was said: turns, each a typed text and a reply, over the token ids of the session.

The ids of turn k are those of its text in the chat template, then those of the reply.  Whatever changes an id says
so (`cores.place`), so that what is still in the key-value cache is not computed again, and all else is.

A reply stays as it was made until another turn is added.  Then, where the template has earlier replies in another
form, above all without their thoughts, the turn is encoded anew in that form.
"""

from barelm.contract import layout
from barelm.contract.conversation_state import MOST_TURNS, TYPED_BYTES, Conversation, ReplyWatch
from barelm.contract.uefi_protocols import Time
from barelm.dialect.memory import address_of, cells, copy_bytes
from barelm.dialect.types import I64, U8
from barelm.kernels.text import thoughts
from barelm.kernels.text.chat_turn import TurnStyle, TurnTexts, chat_flags, chat_set, encode_turn, takes_system
from barelm.kernels.text.thoughts import ANSWER, THOUGHT
from barelm.kernels.text.tokenizer import piece
from barelm.metal.conversation.talk import Talk, bytes_of, transcript_of, vocabulary_of
from barelm.metal.processors.cores import place
from barelm.metal.uefi.runtime_services import get_time


def end_of(c: Conversation, k: int) -> int:
    """How many ids the first k turns are."""
    return c.turns[k - 1].end if k > 0 else 0


def typed_end(c: Conversation, k: int) -> int:
    """How many bytes the texts typed in the first k turns are."""
    return c.turns[k - 1].typed_at + c.turns[k - 1].typed_bytes if k > 0 else 0


def typed_of(c: Conversation, k: int) -> U8:
    """The text typed in turn k."""
    return c.typed[c.turns[k].typed_at:typed_end(c, k + 1)]


def system_of(t: Talk) -> U8:
    """The system text; none where the template has no place for one."""
    system = bytes_of(t.settings.system)
    if len(system) > 0 and not takes_system(vocabulary_of(t)):
        return system[:0]
    return system


def pieces_of(t: Talk) -> int:
    """The set of pieces that counts."""
    return chat_set(vocabulary_of(t), t.settings.think)


def today(t: Talk) -> int:
    """The day by the machine's clock, as 20261126, where that is asked for and there is one; 0: that of packing."""
    now = cells(2)
    if t.settings.date == 0 or get_time(t.con.fw, now) != 0:
        return 0
    time = Time(address_of(now))
    return time.year * 10000 + time.month * 100 + time.day


def leaves_room(t: Talk, system: U8) -> bool:
    """Whether a system text leaves a quarter of the context to what is said."""
    space = t.conversation.encoding
    said = TurnTexts(system, system[:0], system[:0])
    n = encode_turn(vocabulary_of(t), 0, TurnStyle(pieces_of(t), 0, today(t)), said, space.text, space.guards,
                    space.ids, space.ranks)
    return 0 < n <= t.header.seq_len - t.header.seq_len // 4


def turn_ids(t: Talk, k: int, typed: U8, past: int, reply: U8) -> I64:
    """The ids of a text as turn k, until the next text is encoded; as an earlier one with the reply it got.

    Empty where it is too long for that.
    """
    space = t.conversation.encoding
    n = encode_turn(vocabulary_of(t), min(k, 1), TurnStyle(pieces_of(t), past, today(t)),
                    TurnTexts(system_of(t), typed, reply), space.text, space.guards, space.ids, space.ranks)
    return space.ids[:max(n, 0)]


def add_turn(t: Talk, typed: U8) -> bool:
    """Append a turn; where it does not fit, the oldest turns are dropped.  False: it is too long, nothing changed."""
    c = t.conversation
    seq_len = t.header.seq_len
    n_reply = min(t.settings.tokens if t.settings.tokens > 0 else 256, seq_len // 4)  # that an answer should find free
    n_alone = 0
    if len(typed) <= len(c.encoding.text):
        n_alone = len(turn_ids(t, 0, typed, 0, typed[:0]))
    if n_alone == 0 or n_alone > seq_len:
        return False
    settle(t)
    while True:
        k = c.n_turns
        start = end_of(c, k)
        at = typed_end(c, k)
        ids = turn_ids(t, k, typed, 0, typed[:0])
        if k == 0 or (start + len(ids) + n_reply <= seq_len and len(ids) > 0
                      and at + len(typed) <= TYPED_BYTES and k < MOST_TURNS):
            break
        drop_oldest(t, max(seq_len // 2 - len(ids), 0))
    tokens = transcript_of(t).tokens
    for i in range(len(ids)):
        place(t.job, tokens, start + i, ids[i])
    copy_bytes(address_of(c.typed) + at, address_of(typed), len(typed))
    turn = c.turns[k]
    turn.typed_at = at
    turn.typed_bytes = len(typed)
    turn.reply = start + len(ids)
    turn.end = start + len(ids)
    turn.past = 0
    c.n_turns = k + 1
    return True


def settle(t: Talk) -> None:
    """Let the last reply stand as the template has it among the earlier ones."""
    c = t.conversation
    k = c.n_turns - 1
    if k < 0 or c.turns[k].past != 0:
        return
    flags = chat_flags(vocabulary_of(t), pieces_of(t))
    if flags & layout.REWRITES == 0 and (flags & layout.KEEPS_THOUGHTS != 0 or gather_answer(t, k)[1] == 0):
        return
    if not write_past(t, k):
        drop_oldest(t, t.header.seq_len // 2)
        if c.n_turns > 0 and not write_past(t, c.n_turns - 1):
            c.dropped += c.n_turns
            c.n_turns = 0


def settle_all(t: Talk) -> bool:
    """Encode every turn anew in the way that is set now; False where the oldest had to make room for that."""
    c = t.conversation
    k = 0
    fits = True
    while k < c.n_turns:
        if write_past(t, k):
            k += 1
        else:
            drop_oldest(t, t.header.seq_len // 2)
            k = 0
            fits = False
    return fits


def write_past(t: Talk, k: int) -> bool:
    """Encode turn k anew as an earlier one, its answer without thoughts; False where that does not fit."""
    c = t.conversation
    n = gather_answer(t, k)[0]
    ids = turn_ids(t, k, typed_of(c, k), 1, c.answer[:n])
    start = end_of(c, k)
    turn = c.turns[k]
    if not replace_ids(t, start, turn.end, ids):
        return False
    shift = start + len(ids) - turn.end
    for j in range(k + 1, c.n_turns):
        c.turns[j].reply += shift
        c.turns[j].end += shift
    turn.end = start + len(ids)
    turn.reply = start + answer_begins(t, ids, n)
    turn.past = 1
    return True


def answer_begins(t: Talk, ids: I64, n_bytes: int) -> int:
    """Where the ids begin that print the last n bytes."""
    v = vocabulary_of(t)
    i = len(ids)
    while n_bytes > 0 and i > 0:
        i -= 1
        lo, hi = piece(v, -1, ids[i])
        n_bytes -= hi - lo
    return i


def gather_answer(t: Talk, k: int) -> tuple[int, int]:
    """The answer in the reply of turn k, into `answer`: its bytes, and how much else there is: marks and thoughts."""
    c = t.conversation
    v = vocabulary_of(t)
    w = c.watch
    turn = c.turns[k]
    tokens = transcript_of(t).tokens
    marks = thoughts.marks_of(v, pieces_of(t))
    thoughts.begin_watch(w, v, pieces_of(t))
    if turn.past != 0:
        w.state = ANSWER
    n = 0
    n_marks = 0
    for i in range(turn.reply, turn.end):
        thoughts.watch_token(w, v, int(tokens[max(i - 1, 0)]), int(tokens[i]))
        length = 1
        while length > 0:
            free, length, effect = thoughts.next_mark(w, marks)
            n = take_answer(w, free, c.answer, n)
            thoughts.pass_over(w, free + length, effect)
            n_marks += int(length > 0)
    n = take_answer(w, w.n, c.answer, n)
    while n > 0 and thoughts.is_white(int(c.answer[n - 1])):
        n -= 1
    return n, n_marks + int(w.state == THOUGHT)


def take_answer(w: ReplyWatch, free: int, answer: U8, n: int) -> int:
    """Append to n bytes of an answer what is free of a reply and no thought; what does not fit is left out."""
    for k in range(free):
        if thoughts.show_watched(w, k) and w.state == ANSWER and n < len(answer):
            answer[n] = w.text[k]
            n += 1
    return n


def ask_again(t: Talk) -> None:
    """Take the last reply back, and ask for it as for a new one."""
    c = t.conversation
    k = c.n_turns - 1
    turn = c.turns[k]
    start = end_of(c, k)
    typed = typed_of(c, k)
    ids = turn_ids(t, k, typed, 0, typed[:0])
    if replace_ids(t, start, turn.end, ids):
        turn.reply = start + len(ids)
        turn.past = 0
    turn.end = turn.reply


def replace_ids(t: Talk, start: int, old: int, ids: I64) -> bool:
    """Let ids stand from `start` on, up to what stood from `old` on; False where that does not fit, or they are none.

    Rotated keys know their position, so what follows is read again; what stands before stays cached.
    """
    n_rest = end_of(t.conversation, t.conversation.n_turns) - old
    new = start + len(ids)
    if len(ids) == 0 or new + n_rest > t.header.seq_len:
        return False
    tokens = transcript_of(t).tokens
    for done in range(n_rest):
        i = n_rest - 1 - done if new > old else done
        place(t.job, tokens, new + i, tokens[old + i])
    for i in range(len(ids)):
        place(t.job, tokens, start + i, ids[i])
    return True


def drop_oldest(t: Talk, most: int) -> None:
    """Forget the oldest turn, and more until what is left are at most `most` ids."""
    c = t.conversation
    n_turns = c.n_turns
    k = 1
    while k < n_turns and not (end_of(c, n_turns) - end_of(c, k) <= most and begin_with(t, k)):
        k += 1
    if k >= n_turns:
        c.n_turns = 0
    c.dropped += k


def begin_with(t: Talk, k: int) -> bool:
    """Let turn k be the first, its ids anew with the system text as it is now; False where that does not fit."""
    c = t.conversation
    old = c.turns[k].reply
    typed = typed_of(c, k)
    ids = turn_ids(t, 0, typed, c.turns[k].past, typed[:0])
    n = len(ids)
    if not replace_ids(t, 0, old, ids):
        return False
    move_up(c, k, n - old)
    return True


def move_up(c: Conversation, k: int, shift: int) -> None:
    """Let turn k and those behind it be the first ones, and their replies lie `shift` ids further on."""
    typed = c.typed
    base = c.turns[k].typed_at
    for i in range(typed_end(c, c.n_turns) - base):
        typed[i] = typed[base + i]
    for j in range(k, c.n_turns):
        source = c.turns[j]
        target = c.turns[j - k]
        target.typed_at = source.typed_at - base
        target.typed_bytes = source.typed_bytes
        target.reply = source.reply + shift
        target.end = source.end + shift
        target.past = source.past
    c.n_turns -= k


def forget(c: Conversation) -> None:
    """Begin anew.  What is cached stays where the next text begins alike."""
    c.n_turns = 0
    c.dropped = 0
