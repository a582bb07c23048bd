"""Files that lie by the million: does what is accepted stay inside its tables?  Prints counts; 1 where it does not.

    NUMBA_BOUNDSCHECK=1 python -m tools.fuzz_files [--tables 1000000] [--runs 0] [--seed 1]

Numbers of headers and tables of small models are changed, one to three at a time, to others that are odd; `--tables`
counts the changes that the checks look at.  What they let pass is used: texts are encoded, every token printed, turns
written, layers gone through; compiled with bounds checks, so that an access outside is an IndexError.

`--runs` counts starts of the program itself, compiled with `barelm build --checked`, on the hosted firmware with guard
pages: with models, sessions, configurations and typed keys that were changed.  It may say the words or a sentence; a
crash, a trap, or silence is a finding.  Everything follows from the seed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from barelm.aot.build import build_program
from barelm.contract import layout, sections
from barelm.contract.layout import SENSELESS_WORDS, Header, Senseless
from barelm.dialect.lowering.install import jit
from barelm.dialect.memory import cells
from barelm.dialect.rooms import kernel
from barelm.dialect.types import I64, U8
from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.kernels.file_tables import senseless_table
from barelm.kernels.header import SOUND, check_header
from barelm.kernels.text.chat_turn import GUARDS, TurnStyle, TurnTexts, has_chat, write_turn
from barelm.kernels.text.tokenizer import bind_vocabulary, encode, piece
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.pack.sums import own_sum
from barelm.settings import Settings
from tests.lying import LyingModel, session_of
from tests.lying_models import small_models

TEXTS = ("to the sun", " \n a<|im_start|>user x  <|im_end|>", "é世🙂\0\x01 's 123456 \t", "the the the" * 9)
ODD = (0, 1, -1, 2, 7, 8, 255, 256, 2**15, 2**16, 2**24, 2**24 + 1, 2**31 - 1, -2**31, 2**32 - 1, 2**40, 2**62,
       2**63 - 1, -2**63)
PATIENCE_S = 60
GUARD_PAGES = 16


class Changes:
    """A model, changed and put back."""

    def __init__(self, content: bytes, random: np.random.Generator) -> None:
        self.model, self.random = LyingModel(content), random
        self.good = self.model.raw.copy()
        self.tables = [number for number in range(sections.N_SECTIONS) if sections.N_COLUMNS[number] > 0
                       and len(self.model.section(number)) > 0]
        self.changed: list[tuple[int, int]] = []

    def value(self, old: int) -> int:
        """Another number for an old one."""
        if self.random.integers(2):
            return int(ODD[self.random.integers(len(ODD))])
        return old + int(self.random.integers(-9, 10))

    def change(self, of_header: bool) -> None:
        """Change one to three numbers, of the header or of tables."""
        for _ in range(int(self.random.integers(1, 4))):
            if of_header:
                at, size = 8 * int(self.random.integers(2, 256 if self.random.integers(4) else 5120)), 8
            else:
                number = self.tables[self.random.integers(len(self.tables))]
                entry, size = self.model.header.sections[number], sections.ITEM_BYTES[number]
                at = int(entry.offset) + size * int(self.random.integers(int(entry.n_bytes) // size))
            view = self.model.raw[at:at + size].view(f"i{size}")
            view[0] = np.array([self.value(int(view[0])) & (1 << 8 * size) - 1], np.uint64).astype(f"u{size}").view(
                f"i{size}")[0]
            self.changed.append((at, size))

    def put_back(self) -> None:
        """Everything as it was."""
        for at, size in self.changed:
            self.model.raw[at:at + size] = self.good[at:at + size]
        self.changed.clear()


@kernel
def leads_outside(header: Header, addresses: I64, texts: U8, ends: I64, ids: I64, ranks: I64, room: U8) -> bool:
    """Do what is done with a model's tables: whether an id or a place comes of it that there is not."""
    v = bind_vocabulary(header, addresses)
    at = 0
    for k in range(len(ends)):
        text = texts[at:ends[k]]
        for special in range(2):
            n = encode(v, text, len(text), special, ids[:len(text) + 2], ranks[:len(text) + 2])
            for i in range(n):
                if not 0 <= ids[i] < header.vocab_size:
                    return True
        at = ends[k]
    for k in range(-1, layout.N_EOS):
        lo, hi = piece(v, 0, header.vocab_size - 1 if k < 0 else header.eos_ids[k])
        if not 0 <= lo <= hi <= len(v.pieces):
            return True
    if has_chat(v):
        guards = cells(GUARDS)
        said = TurnTexts(texts[:ends[0]], texts[ends[0]:ends[1]], texts[ends[1]:ends[2]])
        for turn in range(2):
            for past in range(2):
                write_turn(v, turn, TurnStyle(0, past, 0), said, room, guards)
    return False


class Use:
    """The checks, and the kernels that go by a model's tables."""

    def __init__(self) -> None:
        self.check, self.tables, self.use = jit(check_header), jit(senseless_table), jit(leads_outside)
        self.texts = np.frombuffer("".join(TEXTS).encode(), np.uint8)
        self.ends = np.cumsum([len(text.encode()) for text in TEXTS])
        self.room = np.zeros(1 << 14, np.uint8)
        self.ids, self.ranks = np.zeros(1 << 10, np.int64), np.zeros(1 << 10, np.int64)

    def accepts(self, model: LyingModel, finding: Senseless) -> bool:
        """Whether host and metal take the model: its sums are right."""
        if self.check(model.header, len(model.raw)) != SOUND:
            return False
        return not self.tables(model.header, model.addresses, finding)

    def goes_through(self, model: LyingModel) -> None:
        """Raises IndexError where something lies outside."""
        if self.use(model.header, model.addresses, self.texts, self.ends, self.ids, self.ranks, self.room):
            raise IndexError("an id or a place that there is not")


def fuzz_tables(n: int, seed: int) -> Counter[str]:
    """Let the checks look at n changed models, and use what they accept."""
    random, use, counts = np.random.default_rng(seed), Use(), Counter[str]()
    changes = [Changes(content, random) for content in small_models()]
    finding = Senseless.over(np.zeros(SENSELESS_WORDS, np.int64))
    for k in range(n):
        one = changes[k % len(changes)]
        of_header = bool(random.integers(2))
        one.change(of_header)
        if of_header:
            one.model.header.sum = own_sum(one.model.header)
            one.changed.append((Header.offset_of("sum"), 8))
        accepted = use.accepts(one.model, finding)
        counts["accepted" if accepted else "refused"] += 1
        if accepted:
            try:
                use.goes_through(one.model)
            except IndexError as error:
                counts["outside"] += 1
                print(f"{error}: changed at {one.changed} of model {k % len(changes)}", file=sys.stderr)
        one.put_back()
        if (k + 1) % 100_000 == 0:
            print("so far", dict(counts), flush=True)
    return counts


def lying_files(changes: Changes, random: np.random.Generator) -> dict[str, bytes]:
    """A volume of which something lies."""
    what = int(random.integers(4))
    files = {"model.blm": changes.good.tobytes(), "barelm.toml": toml(random)}
    if what < 2:
        changes.change(of_header=what == 0)
        files["model.blm"] = changes.model.content()
        changes.model.raw[:] = changes.good
        changes.changed.clear()
    elif what == 2:
        files["sessions/e.session"] = lying_session(changes, random)
    else:
        text = bytearray(files["barelm.toml"])
        for _ in range(int(random.integers(1, 9))):
            at = int(random.integers(len(text) + 1))
            text[at:at + int(random.integers(3))] = random.integers(0, 256, int(random.integers(9)), np.uint8).tobytes()
        files["barelm.toml"] = bytes(text)
    return files


def toml(random: np.random.Generator) -> bytes:
    """A configuration for a short run."""
    return Settings("to the sun", 1.0, tokens=6, chat=bool(random.integers(2)), wait=0).toml()


def lying_session(changes: Changes, random: np.random.Generator) -> bytes:
    """A session of odd numbers under right sums."""
    header = changes.model.header
    n = int(random.integers(0, 140))
    ids = random.integers(0, int(header.vocab_size), n).tolist()
    turns, at = [], 0
    for k in range(int(random.integers(0, 4))):
        reply, end = sorted(random.integers(at, max(n, at + 1) + 1, 2).tolist())
        turns.append([k, 1, reply, end, int(random.integers(2))])
        at = end
    for _ in range(int(random.integers(0, 3))):
        if turns:
            turns[random.integers(len(turns))][random.integers(5)] = changes.value(4)
        if ids:
            ids[random.integers(len(ids))] = changes.value(4)
    turns = [[max(min(number, 2**63 - 1), -2**63) for number in turn] for turn in turns]
    ids = [max(min(token, 2**63 - 1), -2**63) for token in ids]
    n_cached = int(random.integers(0, 9)) if random.integers(2) else 0
    return session_of(header, ids, turns, b"x" * len(turns), n_cached=n_cached)


def run(program: Path, files: dict[str, bytes], folder: Path, random: np.random.Generator) -> str:
    """How a start ends: "ended" with a status, or what is wrong."""
    write_image(folder / "lies.img", {"EFI/BOOT/BOOTX64.EFI": program, **files}, free_bytes=1 << 20)
    keys = "/load e\r/retry\r/stats\r\x1b[A\r" + bytes(random.integers(1, 127, 30, np.uint8)).decode() + "\r\x1b/off\r"
    shown = ""
    try:
        with Hosted(guard_pages=GUARD_PAGES).start(Spec(folder / "lies.img", 64, 1, writable=True)) as session:
            session.send(keys)
            while content := session.read(PATIENCE_S):
                shown += content.decode(errors="replace")
                if "Press any key" in shown[-200:] or content.endswith(b"> "):
                    session.send("x\r/off\r")
            if "IndexError" in shown or "bug in barelm" in shown:
                return "outside: " + shown[-300:]
            return "ended well" if session.status == 0 else "a sentence and a status"
    except BarelmError as error:
        return f"{error.message}: {shown[-300:]}"


def fuzz_runs(n: int, seed: int, program: Path | None = None) -> Counter[str]:
    """Start a program, the checked one where none is given, n times."""
    random, counts = np.random.default_rng(seed), Counter[str]()
    changes = [Changes(content, random) for content in small_models()]
    program = program or build_program(checked=True)
    with tempfile.TemporaryDirectory() as folder:
        for k in range(n):
            files = lying_files(changes[k % len(changes)], random)
            how = run(program, files, Path(folder), random)
            fine = how in ("ended well", "a sentence and a status")
            counts[how if fine else "findings"] += 1
            if (k + 1) % 50 == 0:
                print("so far", dict(counts), flush=True)
            if not fine:
                print(f"run {k}: {how}", file=sys.stderr)
                kept = Path(os.environ.get("FINDINGS", folder)) / f"{seed}-{k}"
                for name, content in files.items():
                    (kept / name).parent.mkdir(parents=True, exist_ok=True)
                    (kept / name).write_bytes(content)
    return counts


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(description="Files that lie, by the million.")
    parser.add_argument("--tables", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    bad = 0
    for what, fuzz, n in (("tables", fuzz_tables, chosen.tables), ("runs", fuzz_runs, chosen.runs)):
        counts = fuzz(n, chosen.seed) if n else Counter[str]()
        print(what, dict(counts), flush=True)
        bad += counts["outside"] + counts["findings"]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
