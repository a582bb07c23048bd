"""A conversation on a fake firmware: a loaded chat model, a board, a console, a volume, and an engine that watches.

The watching engine computes nothing: what it chooses follows from the ids alone, and for every position it was asked to
read it knows from what ids.  It fails where the program counts a position as cached whose id, or any before, has
changed since.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.checkpoint.gguf_model import read_gguf
from barelm.contract import board, layout
from barelm.dialect.memory import memory
from barelm.metal import arena
from barelm.metal.console.sinks import flush, open_console
from barelm.metal.conversation.talk import open_talk, transcript_of
from barelm.metal.conversation.turns import end_of, typed_of
from barelm.metal.processors import cores
from barelm.metal.processors.engine import engine
from barelm.metal.storage.configuration import read_settings
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from tests.gguf_files import CHATML, STRING, Value, write_small_gguf
from tests.metal.fake import FakeFirmware
from tests.worlds import interpreter

NO_SYSTEM = ("{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
             "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
             "'<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
PAST = ("{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content.split('</think>')[-1].lstrip('\n') if "
        "m.role == 'assistant' else m.content) + '<|im_end|>\n' }}{% endfor %}")
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
THINKS = (PAST + ASK + "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}"
          "{% endif %}{% endif %}")
THINKS_AT_ONCE = PAST + ASK + "{{ '<think>\n' }}{% endif %}"
CHANNELS = ("<|im_start|>system\nReasoning: {{ reasoning_effort or 'medium' }}<|im_end|>{% for m in messages %}"
            "{% if m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>"
            "{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}<|start|>assistant{% endif %}")
MOVING = ("{% set system = messages[0].content if messages[0].role == 'system' else none %}"
          "{% for m in (messages[1:] if system else messages) %}{% if m.role == 'user' %}<|im_start|>"
          "{% if loop.last and system %}{{ system + '\n\n' }}{% endif %}{{ m.content }}<|im_end|>{% else %}"
          "{{ m.content }}{% endif %}{% endfor %}")
TEMPLATES = {"chatml": CHATML, "no system": NO_SYSTEM, "thinks": THINKS, "thinks at once": THINKS_AT_ONCE,
             "channels": CHANNELS, "moving": MOVING}
ENDS_EVERY = 11
"""One in so many ids the watching engine chooses ends the answer."""


@functools.cache
def chat_model(seq_len: int = 128, template: str = "chatml", seed: int = 8, kv: str = "f16") -> tuple[Packed, bytes]:
    """A small chat model, for the host and for the volume."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat"
        checkpoint = read_gguf(write_small_gguf(
            path.with_suffix(".gguf"), seed=seed, seq_len=seq_len, dim=32, hidden_dim=32, n_heads=2, n_kv_heads=2,
            n_layers=1, type="Q8_0",
            metadata={"tokenizer.chat_template": Value(STRING, TEMPLATES[template])}))
        write_packed(checkpoint, path, kv=kv)
        return read_packed(path), path.read_bytes()


class Watching:
    """An engine that knows what a cached position was computed from."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.known: dict[int, bytes] = {}
        self.logits_of = -1  # the position that the first row of logits follows
        self.commands: list[tuple[int, int, int]] = []  # what, position, first position that was read

    def run(self, level: int, job: int, core: int) -> int:
        """One command of the board."""
        b = self.desk.b
        what, position = int(b.job.command), int(b.job.position)
        tokens = self.desk.tokens
        first = {board.PREFILL: int(b.job.cached), board.DECODE: position}.get(what, position)
        end = {board.PREFILL: position, board.DECODE: position + 1 + int(b.job.guessed)}.get(what, position)
        self.commands.append((what, position, first))
        assert 0 <= first <= end <= self.desk.seq_len, "positions are inside the context"
        if what == board.CHOOSE:
            assert self.logits_of + int(b.job.row) == position - 1, "the logits are those behind the ids there are"
            assert self.is_known(position)
            return self.chosen([int(token) for token in tokens[:position]])
        assert self.is_known(first), "what counts as cached was computed from the ids there are now"
        self.logits_of = position if what == board.DECODE else end - 1
        for n in range(first, end):
            self.known[n] = digest(tokens[:n + 1])
        return 0

    def is_known(self, n: int) -> bool:
        """Whether the first n positions were computed from the ids as they are."""
        return all(self.known.get(k) == digest(self.desk.tokens[:k + 1]) for k in range(n))

    def chosen(self, ids: list[int]) -> int:
        """What follows some ids: a character, or now and then the end."""
        number = int.from_bytes(digest(np.array(ids, np.int64)), "little")
        if number % ENDS_EVERY == 0:
            return int(self.desk.header.eos_ids[0])
        return self.desk.letters[number % len(self.desk.letters)]


def digest(ids: NDArray[np.int64]) -> bytes:
    """A name for some ids."""
    return hashlib.blake2b(np.ascontiguousarray(ids).tobytes(), digest_size=8).digest()


class Desk:
    """Everything to talk with."""

    def __init__(self, patch: pytest.MonkeyPatch, model: tuple[Packed, bytes] | None = None, settings: bytes = b"", *,
                 firmware: FakeFirmware | None = None, watching: bool = True,
                 files: dict[str, bytes] | None = None, columns: int = 10_000) -> None:
        packed, raw = model or chat_model()
        self.packed = packed
        self.firmware = firmware or FakeFirmware(files if files is not None else {})
        self.firmware.columns = columns
        self.workspace = arena.open_workspace(self.firmware.fw)
        self.b = self.workspace.board
        self.configure(settings)
        self.b.figures.cycles_per_ms = 10**6
        self.b.job.team = self.b.job.n_cores = 1
        self.header = self.workspace.header
        memory(self.header.address, layout.HEADER_BYTES)[:] = np.frombuffer(raw, np.uint8, layout.HEADER_BYTES)
        assert arena.take_model(self.firmware.fw, self.b.model, self.b.figures, self.header,
                                arena.map_buffer(self.workspace))
        memory(int(self.b.model.whole), len(raw))[:] = np.frombuffer(raw, np.uint8)
        self.b.model.header = self.header.address
        self.workspace.volume.root = self.firmware.root()
        con = interpreter(open_console)(self.firmware.fw, self.b.settings, self.b.figures, self.workspace)
        self.t = open_talk(con, self.b, self.workspace)
        self.conversation = self.t.conversation
        self.letters = sorted(int(token) for token in packed.vocabulary().byte_tokens[97:123])
        self.engine = Watching(self)
        patch.setattr(cores, "call_engine",
                      self.engine.run if watching else lambda level, job, core: interpreter(engine)(job, core))

    def configure(self, settings: bytes) -> None:
        """What a barelm.toml says, the defaults else."""
        place = self.workspace.configuration
        place[:len(settings)] = np.frombuffer(settings, np.uint8)
        read_settings(self.b.settings, self.workspace.complaints, place[:len(settings)], len(settings))

    @property
    def seq_len(self) -> int:
        """The context."""
        return int(self.header.seq_len)

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The ids of the session."""
        return transcript_of(self.t).tokens

    @property
    def ids(self) -> list[int]:
        """Those that are of the conversation."""
        return [int(token) for token in self.tokens[:self.end]]

    @property
    def end(self) -> int:
        """How many these are."""
        return int(end_of(self.conversation, self.conversation.n_turns))

    @property
    def typed(self) -> list[bytes]:
        """The texts typed."""
        return [typed_of(self.conversation, k).tobytes() for k in range(int(self.conversation.n_turns))]

    @property
    def cached(self) -> int:
        """Positions that count as cached."""
        return int(self.b.job.cached)

    def check(self) -> None:
        """What holds between any two steps."""
        assert self.engine.is_known(self.cached)
        assert 0 <= self.end <= self.seq_len + 1

    def heard(self, do: Callable[[], object]) -> str:
        """What something says."""
        before = len(self.firmware.screen)
        with np.errstate(all="ignore"):
            do()
            flush(self.t.con)
        return self.firmware.screen[before:].replace("\r\n", "\n")


def array(content: bytes) -> NDArray[np.uint8]:
    """Bytes as metal code is given them."""
    return np.frombuffer(content, np.uint8).copy()
