"""What the story and the conversation are held with: a console, the board, a loaded model, the volume."""

from __future__ import annotations

from typing import NamedTuple

from barelm.contract.board import Board
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.dialect.memory import memory
from barelm.dialect.rooms import metal
from barelm.kernels.model import SessionTranscript, bind_transcript
from barelm.kernels.text.tokenizer import Vocabulary, bind_vocabulary
from barelm.metal.console.sinks import Console
from barelm.metal.keys.keyboard import Keyboard, open_keyboard


class Talk(NamedTuple):
    """All it takes to talk."""

    con: Console
    b: Board
    header: Header
    workspace: Workspace
    root: int  # the open volume


@metal
def vocabulary_of(t: Talk) -> Vocabulary:
    """The model's tokenizer."""
    return bind_vocabulary(t.header, t.b.model.sections)


@metal
def transcript_of(t: Talk) -> SessionTranscript:
    """The session's ids, and its generator."""
    return bind_transcript(t.header, memory(t.b.model.state, t.header.state_bytes))


@metal
def place(t: Talk, at: int, token: int) -> None:
    """Put an id at a position; from the first that differs on, nothing is cached."""
    tokens = transcript_of(t).tokens
    if tokens[at] != token:
        t.b.job.cached = min(t.b.job.cached, at)
    tokens[at] = token


@metal
def keyboard_of(t: Talk) -> Keyboard:
    """Whatever there is to type on."""
    return open_keyboard(t.con, t.b.settings, t.b.figures, t.workspace)
