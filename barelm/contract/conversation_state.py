"""What a conversation keeps: its turns, what was typed in them, what was set in it, and where it works."""

from barelm.contract.layout import FLAG, LOGIT_ROWS, TEXT_BYTES, Within
from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import I64, U8

MOST_TURNS, TYPED_BYTES, SYSTEM_BYTES = 638, 81920, 16384
MOST_GUESSES = LOGIT_ROWS - 1
GUESS_CLASSES = 4


class Turn(Struct):
    """A text somebody typed and the reply to it; in a session's file too (`contract.session_file`)."""

    # Where the text begins among those typed, the first at 0, without gaps.
    typed_at: int = room(note=Within(0, TYPED_BYTES))
    typed_bytes: int = room(note=Within(0, TYPED_BYTES))
    reply: int = room(note=Within(1, "seq_len"))  # the first id of the reply
    end: int = room(note=Within(1, "seq_len", 1))  # and the first one behind it
    past: int = room(note=FLAG)  # 1: the reply stands as the template has an earlier one; 0: as it was made


class ReplyWatch(Struct):
    """Where a reply is while it is made (`kernels.text.thoughts`): what can still become a mark is held back."""

    on: int  # 0: nothing is looked for
    state: int  # BEGINNING, THOUGHT, ANSWER
    fresh: int  # 1: nothing of the thought or the answer was there yet but white space
    shown: int  # of what state the last byte shown is
    n_feeds: int  # line feeds at the end of the thought shown
    n: int  # bytes held back
    text: U8 = room(4608)  # as the longest token and the longest mark together
    silent: U8 = room(4608)  # 1: of a token that prints nothing


class Guesses(Struct):
    """What is known of guesses at what comes next (`kernels.lookup`); shares and costs in 1024ths."""

    at: int  # what stands there in the session would be guessed; 0: nothing
    alike: int  # so many ids before it are those at the end
    single: int  # cycles of a pass over one token; 0: not measured yet
    share: I64 = room(GUESS_CLASSES)  # of the guesses that came true, by how much was alike
    cost: I64 = room(MOST_GUESSES)  # of a pass over one token and 1, 2, ... guesses, that of one being 1; 0: not yet


class EncodingSpace(Struct):
    """What it takes to make ids of a text (`kernels.text`)."""

    text: U8 = room(TEXT_BYTES)
    guards: I64 = room(6)
    ids: I64 = room(TEXT_BYTES + 2)
    ranks: I64 = room(TEXT_BYTES + 2)


class Conversation(Struct):
    """All of it but the ids themselves, which are the engine's."""

    n_turns: int
    dropped: int  # turns that were forgotten since somebody was told
    turns: Array[Turn] = room(MOST_TURNS)
    typed: U8 = room(TYPED_BYTES)
    system: U8 = room(SYSTEM_BYTES)  # a system text given in the conversation
    stops: U8 = room(1024)  # a text that ends an answer, given there too
    held_back: U8 = room(1024)  # of an answer, what may yet turn out to be such a text
    n_held: int  # bytes of that
    watch: ReplyWatch
    guesses: Guesses
    answer: U8 = room(TEXT_BYTES)  # an answer without its thoughts
    name: U8 = room(64)  # of a file, where nobody gave one
    encoding: EncodingSpace
    file: U8 = room(5 << 18)  # what is put together before it is written, or read before it is believed
