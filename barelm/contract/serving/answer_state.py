"""An answer that a client waits for, as far as it is made and told."""

from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import U8, Real

BY_END, BY_LENGTH, BY_STOP, BY_CALL, BY_CLIENT = range(5)
"""Why an answer ended: by itself, at a limit, at one of its stops, with a call of a tool, because the client went."""


class Alternative(Struct):
    """A token that was, or could have been chosen."""

    token: int
    logprob: Real  # the logarithm of its probability


class Answer(Struct):
    """What its form needs (`kernels.web`): numbers and names, but not the text, which is given piece by piece."""

    number: int  # a random one that names it, such as chatcmpl-0123456789abcdef
    created: int  # seconds since 1970 by the machine's clock; 0: it has none
    seed: int  # it was made with
    n_prompt: int  # ids of the prompt,
    n_cached: int  # those of them that were read before,
    n_made: int  # and those made since
    reason: int  # why it ended
    n_pieces: int  # told so far: 0 before the first
    prompt_us: int  # microseconds that reading took,
    making_us: int  # and making
    n_alternatives: int  # of the token told next; the first is the one chosen
    alternatives: Array[Alternative] = room(21)


class NodeNames(Struct):
    """What a node calls itself and its model: texts with a zero behind them."""

    model: U8 = room(256)
    version: U8 = room(32)
    context: int  # the most ids of prompt and answer together
    n_slots: int
