"""An answer that a client waits for, as far as it is made and told."""

from barelm.dialect.structs import Struct, room
from barelm.dialect.types import U8

BY_END, BY_LENGTH, BY_STOP, BY_CALL, BY_CLIENT = range(5)
"""Why an answer ended: by itself, at a limit, at one of its stops, with a call of a tool, because the client went."""

KEPT, CLOSED, PLAIN = range(3)
"""What becomes of the connection behind an answer: it is kept; closed; closed, and a stream is not cut into chunks, as
clients of HTTP/1.0 want it."""

TEXT, THOUGHT, CALL = 1, 2, 3
"""What a piece of an answer is."""


class Answer(Struct):
    """What its form needs (`kernels.web.answers`): numbers, but not the text, which is given piece by piece."""

    number: int  # a random one that names it, such as chatcmpl-0123456789abcdef
    created: int  # seconds since 1970 by the machine's clock; 0: it has none
    connection: int  # what becomes of it
    seed: int  # it was made with
    n_prompt: int  # ids of the prompt,
    n_cached: int  # those of them that were read before,
    n_made: int  # and those made since
    reason: int  # why it ended
    prompt_us: int  # microseconds that reading took,
    making_us: int  # and making
    n_calls: int  # of tools, told so far.  This and what follows the writers keep themselves
    n_characters: int  # of tokens that were told with their probabilities
    n_blocks: int  # how often the kind of the pieces changed
    block: int  # the kind of the last; 0 before the first


class NodeNames(Struct):
    """What a node calls itself and its model: texts with a zero behind them."""

    model: U8 = room(256)
    version: U8 = room(32)
    context: int  # the most ids of prompt and answer together
    n_slots: int
    n_vocabulary: int  # ids there are,
    n_trained: int  # the context the model was made for,
    model_bytes: int  # and how much it is
