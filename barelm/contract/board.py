"""The board: what the boot story, the engine and the workers know of each other, in one page of the workspace.

The story writes it before a command; workers and engine only read it, but for the gate and `Job.claims`.
"""

from __future__ import annotations

from barelm.contract.layout import MOST_SECTIONS
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import I64, Real

PREFILL = 1
DECODE = 2
CHOOSE = 3
STOP = 4

ORDER_BITS = 16
ORDER_CORES = (1 << ORDER_BITS) - 1
CLOSED = 1 << 32

ENDED_ITSELF = 0
ENDED_AT_LIMIT = 1
ENDED_AT_STOP = 2  # a stop string
ENDED_BY_KEY = 3

AT_END_RETURN = 0
AT_END_SHUTDOWN = 1
AT_END_RESTART = 2

N_KEYS = 256


class Text(Struct):
    """UTF-8 somewhere in memory."""

    address: int
    n_bytes: int


class SettingsView(Struct):
    """What the configuration asks for (see `metal.storage.configuration`)."""

    prompt: Text
    system: Text  # the system text of a chat
    stops: Text  # texts that end an answer, each with a zero behind it
    model: Text  # the file to load where there are several
    temperature: Real = room(align=8)
    top_p: Real = room(align=8)
    min_p: Real = room(align=8)
    repeat: Real = room(align=8)  # the repetition penalty, 1: none
    top_k: int  # 0: no limit
    seed: int
    tokens: int  # to generate; 0: as many as the context holds, up to completion.DEFAULT_TOKENS
    cores: int  # the most to use; 0: all
    at_end: int
    wait_s: int  # how long the last screen waits for a key
    countdown_s: int  # how long the menu waits before it takes that one
    keyboard: int  # one of metal.keys.layouts
    report: int  # 1: speak to a program (see metal.conversation.completion) rather than to a person
    template: int  # 1: put the prompt through the model's chat template, where it has one
    chat: int  # 1: hold a conversation with whoever is at the keyboard
    selftest: int  # 1: compute the packed example at every start
    prefix: int  # 1: compute and save the beginning of every conversation, and end
    screen: int  # 0: leave the screen to the firmware's console


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
    cached: int  # tokens whose keys and values are in the cache
    level: int
    n_cores: int  # that compute, of the
    team: int  # processors that answered, this one included
    resting: int  # cores that compute when the team is awake again; 0: it is awake
    team_event: int  # what the firmware signals when all workers are home
    # On cache lines of their own: these are spun on.
    order: I64 = room(1, align=64)  # counts commands, in its low bits for how many cores: workers look when it changes
    claims: I64 = room(1, align=64)  # workers that have come; CLOSED once the team is complete


class Figures(Struct):
    """What was measured."""

    memory: int  # bytes allocated
    cycles_per_ms: int
    load_cycles: int
    n_prompt: int
    n_generated: int
    prefill_cycles: int
    decode_cycles: int
    last_read: int  # of the last reply: ids read before it, tokens made, cycles these took
    last_made: int
    last_cycles: int
    ended: int  # why the last answer ended


class KeyQueue(Struct):
    """Keys typed while an answer was being made, each as `keyboard.next_key` returns it: a ring."""

    put: int
    taken: int
    keys: I64 = room(N_KEYS)


class Board(Struct):
    """All of it."""

    job: Job
    model: LoadedModel
    settings: SettingsView
    figures: Figures
    typed_ahead: KeyQueue


BYTES = Board.BYTES
