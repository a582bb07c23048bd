"""Everything a conversation uses: console, loaded model, cores, turns, volume."""

from typing import NamedTuple

from barelm.contract.board import Board, Figures, Job, LoadedModel
from barelm.contract.conversation_state import Conversation
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.contract.settings import SettingsView, Text
from barelm.contract.storage_state import ModelVolume, Names
from barelm.dialect.memory import address_of, copy_bytes, memory
from barelm.dialect.types import U8
from barelm.kernels.decoder.state import SessionTranscript, bind_transcript
from barelm.kernels.text.tokenizer import Vocabulary, bind_vocabulary
from barelm.metal.console.sinks import Console
from barelm.metal.keys.keyboard import Keyboard, open_keyboard
from barelm.metal.measuring.selftest import ModelUnderTest
from barelm.metal.storage.volumes import volume_in
from barelm.metal.storage.whole_files import names_in


class Talk(NamedTuple):
    """All it takes to talk, each as a view of its own."""

    con: Console
    job: Job
    model: LoadedModel
    settings: SettingsView
    figures: Figures
    header: Header
    conversation: Conversation
    names: Names  # of a file
    workspace: Workspace  # for those whose regions are others
    volume: ModelVolume


def open_talk(con: Console, b: Board, workspace: Workspace) -> Talk:
    """The views, once a model is loaded."""
    return Talk(con, b.job, b.model, b.settings, b.figures, Header(b.model.header), workspace.conversation,
                names_in(workspace), workspace, volume_in(workspace))


def vocabulary_of(t: Talk) -> Vocabulary:
    """The model's tokenizer."""
    return bind_vocabulary(t.header, t.model.sections)


def transcript_of(t: Talk) -> SessionTranscript:
    """The session's ids, and its generator."""
    return bind_transcript(t.header, memory(t.model.state, t.header.state_bytes))


def under_test(t: Talk) -> ModelUnderTest:
    """The model, to be tested and measured."""
    return ModelUnderTest(t.header, t.job, t.settings)


def bytes_of(given: Text) -> U8:
    """A text of the settings."""
    return memory(given.address, given.n_bytes)


def set_text(setting: Text, target: U8, said: U8) -> None:
    """Keep what was said in `target`, as a setting."""
    copy_bytes(address_of(target), address_of(said), len(said))
    setting.address = address_of(target)
    setting.n_bytes = len(said)


def keyboard_of(t: Talk) -> Keyboard:
    """Whatever there is to type on."""
    return open_keyboard(t.con, t.settings, t.figures, t.workspace)
