"""The board: what the boot story, the engine and the workers know of each other.

The story writes it before a command; workers and engine only read it, but for the gate, `Job.claims` and `Pace.took`.
"""

from barelm.contract.layout import DEFAULT_MAX_CORES, MOST_SECTIONS
from barelm.contract.settings import SettingsView
from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import I64, U64, Real

PREFILL, DECODE, CHOOSE, STOP, WEIGH, PASS, CHOOSE_FOR = range(1, 8)
"""Commands.  The last two are of a node that serves: a pass over several sequences, and a token of one of them."""

MOST_RUNS = 8
"""Sequences that a pass reads; of each the logits of a token are wanted, and so many rows of them there are."""

ORDER_BITS = 16
ORDER_CORES = (1 << ORDER_BITS) - 1
CLOSED = 1 << 32

LINE_WORDS = 8
"""Of a cache line, in words of 64 bits."""

ENDED_ITSELF, ENDED_AT_LIMIT, ENDED_AT_STOP, ENDED_BY_KEY = range(4)
"""Why an answer ended; ENDED_AT_STOP: at a stop string."""


class Run(Struct):
    """Tokens of a sequence that a pass reads, one after another."""

    tokens: int  # where the ids of the sequence lie (address)
    cache: int  # and its keys and values (`kernels.decoder.cache_plan`),
    positions: int  # which are for so many tokens, a multiple of 16
    first: int  # the position of the first
    n: int  # how many
    n_logits: int  # of the last so many the logits are wanted


class Batch(Struct):
    """What a pass reads: its rows are the tokens of the runs in order."""

    n_runs: int
    runs: Array[Run] = room(MOST_RUNS)


class Choice(Struct):
    """How the next token of a sequence is chosen, where that is not the session of the settings."""

    tokens: int  # where its ids lie (address),
    n: int  # how many there are
    spared: int  # the first that the repetition penalty looks at
    top_k: int
    temperature: Real
    top_p: Real
    min_p: Real
    repeat: Real
    rng: U64 = room(1)  # the state of its generator


class LoadedModel(Struct):
    """Where the model lies (addresses)."""

    header: int
    state: int
    sections: I64 = room(MOST_SECTIONS)
    whole: int  # the block that holds every section, or 0


class Job(Struct):
    """What every core runs next, with what, and who is there to run it."""

    command: int
    position: int  # decode: the token's position; prefill: how many tokens there are
    guessed: int  # decode: how many tokens behind that one, which are guesses, are read with it
    row: int  # choose: which of them the next one follows; 0: that one itself
    choice: int  # choose for: the address of the `Choice`
    cached: int  # tokens whose keys and values are in the cache
    reach: int  # how far layers with a window may have written since they began anew,
    slack: int  # and how much of that may be taken back before they have forgotten too much; 0: there are none
    reply: int  # the first token the repetition penalty looks at: where the reply begins, or 0
    level: int
    n_cores: int  # that compute, of the
    team: int  # processors that answered, this one included
    resting: int  # cores that compute when the team is awake again; 0: it is awake
    team_event: int  # what the firmware signals when all workers are home
    started: int  # workers that were started, late ones too
    lost: int  # the number of a core that did not come to a meeting; 0: none
    # On cache lines of their own: these are spun on.
    order: I64 = room(1, align=64)  # counts commands, in its low bits for how many cores: workers look when it changes
    claims: I64 = room(1, align=64)  # workers that have come; CLOSED once the team is complete
    gone: I64 = room(1, align=64)  # workers that have left this program


class Pace(Struct):
    """How the team waits for one another, and who does how much of the work."""

    give_way: int  # the code to call while waiting so that others run (`uefi_protocols.GiveWay`); 0: there is none
    at_once: int  # how many cores run at a time, where there is such code
    patience: int  # turns to wait before calling it
    limit: int  # cycles that core 0 waits for the others at a meeting; 0: for ever
    lost: I64 = room(1)  # whether it waited longer: then nobody waits for anybody any more
    edges: I64 = room(DEFAULT_MAX_CORES + 1)  # where each core's part begins: sums of speeds; all 0: parts are equal
    took: I64 = room(DEFAULT_MAX_CORES * LINE_WORDS, align=64)  # cycles for a piece of work, on a cache line a core


class Figures(Struct):
    """What was measured."""

    memory: int  # bytes allocated
    cycles_per_ms: int
    load_cycles: int
    n_prompt: int
    n_generated: int
    prefill_cycles: int
    decode_cycles: int
    n_guessed: int  # tokens read before they were chosen,
    n_right: int  # and those of them that were chosen then
    last_read: int  # of the last reply: ids read before it, tokens made, cycles these took
    last_made: int
    last_cycles: int
    clock: int  # by what the highest clock was asked for (`dialect.processor.raise_clock`)
    ended: int  # why the last answer ended
    ids_sum: int  # of the ids that were told to a program (`kernels.session.sum_with`)


class Board(Struct):
    """All of it; it begins with the job, so that whoever has the address of one has the other's."""

    job: Job
    image: int  # what `efi_main` was given,
    table: int
    ledger: int  # and where what is taken of the firmware is noted
    model: LoadedModel
    settings: SettingsView
    figures: Figures
    pace: Pace
    batch: Batch
