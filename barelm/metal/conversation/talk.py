"""What the story and the conversation are held with: a console, the board, a loaded model, the volume."""

from __future__ import annotations

from typing import NamedTuple

from barelm.contract import layout
from barelm.dialect.memory import memory
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64
from barelm.kernels.model import SessionTranscript, bind_transcript
from barelm.kernels.text.tokenizer import Vocabulary, bind_vocabulary
from barelm.metal import arena, board
from barelm.metal.console.sinks import WORKSPACE, Console, line_of
from barelm.metal.keys.keyboard import Keyboard, open_keyboard
from barelm.metal.processors.engine import sections_of


class Talk(NamedTuple):
    """All it takes to talk."""

    con: Console
    b: I64
    header: I64
    workspace: int
    root: int  # the open volume


@metal
def vocabulary_of(t: Talk) -> Vocabulary:
    """The model's tokenizer."""
    return bind_vocabulary(t.header, sections_of(t.b, t.header))


@metal
def transcript_of(t: Talk) -> SessionTranscript:
    """The session's ids, and its generator."""
    return bind_transcript(t.header, memory(t.b[board.STATE], t.header[layout.STATE_BYTES]))


@metal
def place(t: Talk, at: int, token: int) -> None:
    """Put an id at a position; from the first that differs on, nothing is cached."""
    tokens = transcript_of(t).tokens
    if tokens[at] != token:
        t.b[board.CACHED] = min(t.b[board.CACHED], at)
    tokens[at] = token


@metal
def keyboard_of(con: Console, b: I64) -> Keyboard:
    """Whatever there is to type on."""
    return open_keyboard(con.fw, b, line_of(con), con.state[WORKSPACE] + arena.KEYBOARD)
