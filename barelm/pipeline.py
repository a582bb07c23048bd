"""START HERE: a checkpoint becomes a packed model, the Python of the metal a program, both an image; a machine boots.

    checkpoint (.bin, .gguf) -> model (.blm) -> image (.img) <- program (.efi)      -> machine -> tokens
       checkpoint/               pack/          disk/           aot/ of metal/, kernels/  machine/
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from barelm.aot.build import build_begun, build_program, is_built, source_key
from barelm.checkpoint.checkpoint import Checkpoint
from barelm.checkpoint.gguf import part_paths
from barelm.checkpoint.read import read_checkpoint
from barelm.checkpoint.sources.model_names import resolve_model
from barelm.contract.layout import GOLDEN_MOST, Header
from barelm.contract.serving.slot_state import USUAL_SLOTS
from barelm.contract.session_file import PREFIX_PATH
from barelm.contract.settings import THINKS
from barelm.contract.trust.receipt_state import RECEIPT_PATH
from barelm.dialect.lowering import FAMILY
from barelm.disk import open_volume, write_image
from barelm.disk.gpt import SECTOR
from barelm.errors import BarelmError
from barelm.host_files import Source, cache_folder, replace_file, sources_digest, working_folder
from barelm.kernels.text.chat_turn import chat_set
from barelm.machine.hosted import Hosted, memory_left
from barelm.machine.machine import Machine, Spec
from barelm.outcome import Outcome, check_ended, outcome_of
from barelm.pack.chat.chat_pieces import REFUSED
from barelm.pack.golden import Golden
from barelm.pack.memory_plan import LOW_BYTES, machine_holds, needs_at, slots_bytes, suiting_context
from barelm.pack.parts import parts_of
from barelm.pack.reader import Packed, read_header, read_packed
from barelm.pack.tokenizer_tables import TokenizerTables, tokenizer_tables
from barelm.pack.writer import plan_header, rope_table, write_packed
from barelm.settings import Settings
from barelm.transcript import Transcript

PROGRAM_PATH = f"EFI/BOOT/{FAMILY.boot_file}"
MODEL_PATH = "model.blm"
SETTINGS_PATH = "barelm.toml"

PREFIX_MB = 1
"""Beside the cache, what a saved session takes at most."""

FIRMWARE_MB = 256
"""What a firmware takes for itself, generously."""
LEAST_FIRMWARE_MB = 16
"""What it takes at the least: with less a machine cannot start the model, whatever its firmware is."""

RECEIPT_MB = 8
"""What a receipt takes at most."""

NODE_MB = 64
"""What a node takes for its connections and its questions."""

MACHINES_MB = tuple(mb << k for k in range(20) for mb in (512, 768))
"""The memory that machines are made with."""

SILENCE_S = 600.0
"""How long a machine may be silent before it counts as hung: it loads a large model and reads its prompt in silence."""


class Watcher(Protocol):
    """Whoever is shown the progress."""

    def step(self, what: str) -> None:
        """A step begins."""

    def progress(self, done: int, total: int) -> None:
        """Bytes of the step's work done, of how many."""

    def note(self, line: str) -> None:
        """A line that a person should read."""

    def think(self, thought: str) -> None:
        """More of what a model writes down before its answer."""


@dataclass(frozen=True)
class Packing:
    """How a checkpoint is packed: its weights as they are or quantized, its context as long as it is or shorter."""

    quant: str = "keep"  # one of pack.weights.QUANTS
    kv: str = "auto"  # the form of keys and values: auto, f32, f16, q8
    context: int = 0  # 0: what suits the model (`pack.memory_plan`)
    rope_theta: float = 0.0  # of a llama2.c checkpoint, which does not say it; 0: 10,000


@dataclass(frozen=True)
class Order:
    """What a run is asked for."""

    model: str
    tokenizer: Path | None = None
    packing: Packing = Packing()
    settings: Settings = Settings()
    memory_mb: int = 0  # 0: as much as the model needs
    cores: int = 1
    receipt: Path | None = None  # where to write one


@build_begun()
def run(order: Order, machine: Machine, watch: Watcher, say: Callable[[str], None]) -> Outcome:
    """From a checkpoint to the last word: `say` gets the text as it is made."""
    model = packed_model(order.model, order.tokenizer, order.packing, watch, order.memory_mb)
    check_room(model, order.settings)
    note_chat(model, order.settings, watch)
    program = built_program(watch)
    with working_folder() as folder:
        chats = model.chat is not None
        proven = order.receipt is not None
        settings = order.settings.suited(chats).but(report=True, at_end="shutdown", cores=order.cores, receipt=proven)
        image = bootable_image(folder / "run.img", program, model.path, settings, watch,
                               free_bytes=RECEIPT_MB << 20 if proven else 0)
        spec = Spec(image, order.memory_mb or memory_mb(model.memory_bytes), order.cores, writable=proven)
        outcome = boot(spec, machine, model, watch, say, stops=settings.stop,
                       think=THINKS.index(settings.think) if settings.template and chats else -1)
        if order.receipt is not None:
            with open_volume(image) as volume:
                entry = volume.lookup(RECEIPT_PATH)
                if entry is None:
                    raise BarelmError("the machine wrote no receipt", "Its context may be too long for one.")
                replace_file(order.receipt, volume.read(entry, 0, entry.size))
        return outcome


def packed_model(model: str, tokenizer: Path | None, packing: Packing, watch: Watcher, machine_mb: int = 0) -> Packed:
    """The packed form of a checkpoint, from the cache where it was packed before; a `.blm` is taken as it is.

    Raises BarelmError, before anything is packed, where a machine of `machine_mb` (0: any) cannot hold it.
    """
    watch.step(f"Looking for {model}")
    path, found_tokenizer = resolve_model(model, tokenizer, watch.progress)
    packed = path
    if path.suffix != ".blm":
        packed = cache_folder("models") / f"{path.stem}-{pack_key(path, found_tokenizer, packing)}.blm"
        if not packed.is_file():
            pack(path, found_tokenizer, packing, packed, watch, machine_mb)
    check_memory(path.name, int(read_header(packed).memory_bytes), machine_mb)
    return read_packed(packed, verify=packed is path)


def pack(path: Path, tokenizer: Path | None, packing: Packing, out: Path, watch: Watcher, machine_mb: int = 0) -> None:
    """Read a checkpoint and write it packed, with an example of what it computes where this host can run it."""
    watch.step(f"Packing {path.name}")
    checkpoint, tables, header = planned(path, tokenizer, packing)
    check_memory(path.name, int(header.memory_bytes), machine_mb)
    for note in checkpoint.vocab.notes:
        watch.note(note)
    if packing.context == 0 and checkpoint.shape.seq_len > header.seq_len:
        watch.note(shortened(checkpoint.shape.seq_len, header))
    example = None
    if header.seq_len >= GOLDEN_MOST and hosted_refusal(int(header.memory_bytes)) is None:
        program = built_program(watch)
        example = partial(example_of, program=program, watch=watch)
        watch.step(f"Packing {path.name}")
    checkpoint = replace(checkpoint, shape=replace(checkpoint.shape, seq_len=int(header.seq_len)))
    write_packed(checkpoint, out, watch.progress, packing.quant, packing.kv, example, tables)


def planned(path: Path, tokenizer: Path | None, packing: Packing) -> tuple[Checkpoint, TokenizerTables, Header]:
    """A checkpoint, its context its own; the tables of its vocabulary; and the header it is to be packed with."""
    checkpoint = read_checkpoint(path, tokenizer, packing.rope_theta)
    own = checkpoint.shape.seq_len
    if not np.isfinite(rope_table(checkpoint.shape, own - 1, own)).all():
        raise BarelmError(f"the numbers that turn the positions of {path.name} make no finite table",
                          "The file is damaged: take it from where it was published.")
    if packing.context > own:
        raise BarelmError(f"the context of {path.name} is {own} tokens, not {packing.context}",
                          f"Ask for a --context of at most {own}.")
    tables = tokenizer_tables(checkpoint.vocab)
    header, _ = plan_header(checkpoint, tables, packing.quant, packing.kv)
    if (seq_len := packing.context or suiting_context(header)) < own:
        shorter = replace(checkpoint, shape=replace(checkpoint.shape, seq_len=seq_len))
        header, _ = plan_header(shorter, tables, packing.quant, packing.kv)
    return checkpoint, tables, header


def shortened(own: int, header: Header) -> str:
    """A sentence: the context that was chosen, the model's own, and what each takes."""
    whole = needs_at(header, own)[0]
    return (f"The context is {header.seq_len:,} tokens, with which the model takes {in_mb(header.memory_bytes)} "
            f"of memory; its own is {own:,}, with {in_mb(whole)} (--context).")


def example_of(model: Path, program: Path, watch: Watcher) -> Golden | None:
    """What a packed model makes of fixed ids (`metal.measuring.selftest`), computed natively on the hosted firmware."""
    packed = read_packed(model, verify=False)
    heard = Transcript(packed.vocabulary())
    with working_folder() as folder:
        settings = Settings(tokens=1, report=True, selftest=True, at_end="shutdown")
        image = bootable_image(folder / "example.img", program, model, settings, watch)
        with Hosted().start(Spec(image, memory_mb(packed.memory_bytes))) as session:
            while not heard.golden and (console := session.read(SILENCE_S)):
                heard.hear(console)
    return Golden.heard(heard.golden)


def prefix_of(model: Packed, settings: Settings, program: Path, watch: Watcher) -> bytes | None:
    """The key-value cache of what every conversation begins with, in the form of a session; None where that is nothing.

    It is computed by the program itself, on the hosted firmware: the same bits as on the metal.
    """
    watch.step("Reading the system text")
    with working_folder() as folder:
        free = PREFIX_MB << 20 | model.memory_bytes
        image = bootable_image(folder / "prefix.img", program, model.path,
                               settings.but(prefix=True, report=True, chat=False, selftest=False), watch,
                               free_bytes=free)
        with Hosted().start(Spec(image, memory_mb(model.memory_bytes), writable=True)) as session:
            heard = Transcript(model.vocabulary())
            while console := session.read(SILENCE_S):
                heard.hear(console)
        check_ended(heard, "hosted")
        with open_volume(image) as volume:
            entry = volume.lookup(PREFIX_PATH)
            return volume.read(entry, 0, entry.size) if entry else None


def pack_key(path: Path, tokenizer: Path | None, packing: Packing) -> str:
    """A name for what decides the bytes of a packed model: files as they are now, what is asked, who packs, and the
    program, which computes the example.
    """
    parts: list[object] = [source_key(), sources_digest("pack", "checkpoint"), packing]
    for file in (*part_paths(path), tokenizer):
        if file is not None and file.is_file():
            status = file.stat()
            parts += [file.resolve(), status.st_size, status.st_mtime_ns]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def built_program(watch: Watcher) -> Path:
    """The program, compiled first where it has to be."""
    if not is_built():
        watch.step("Compiling the program")
    return build_program()


def bootable_image(out: Path, program: Path | bytes, model: Path, settings: Settings, watch: Watcher, *,
                   plain: bool = False, sector: int = SECTOR, free_bytes: int = 0,
                   more: Mapping[str, Path | bytes] | None = None, lasting: bool = False) -> Path:
    """A disk image that any UEFI PC boots into the model, with `more` files on it; for this run, or `lasting`."""
    watch.step(f"Writing {out.name}")
    write_image(out, {**image_files(program, model, settings), **(more or {})}, plain=plain, sector=sector,
                free_bytes=free_bytes, progress=watch.progress, lasting=lasting)
    return out


def image_files(program: Path | bytes, model: Path, settings: Settings) -> dict[str, Source]:
    """The files an image cannot do without."""
    return {PROGRAM_PATH: program, SETTINGS_PATH: settings.toml(), **parts_of(MODEL_PATH, model)}


def in_mb(n_bytes: int) -> str:
    """So many bytes in megabytes, as the metal says it."""
    return f"{-(-n_bytes // 10**6):,} MB"


def check_memory(name: str, memory_bytes: int, machine_mb: int) -> None:
    """Refuse a machine (of 0: any) that cannot hold a model, whatever its firmware takes."""
    if machine_mb and machine_mb - LEAST_FIRMWARE_MB << 20 < memory_bytes:
        raise BarelmError(
            f"{name} takes {in_mb(memory_bytes)} of memory, and the machine is to have {machine_mb:,} MiB",
            f"Give it {memory_mb(memory_bytes):,} with --memory; a shorter --context takes less.")


def hosted_refusal(memory_bytes: int) -> str | None:
    """Why this host cannot run a model that takes so much on the hosted machine; None where it can."""
    if reason := Hosted().why_not():
        return reason
    left = memory_left()
    if left < memory_bytes + (LEAST_FIRMWARE_MB << 20):
        return f"this host has {in_mb(left)} of memory free, and the model takes {in_mb(memory_bytes)}"
    return None


def least_machine_mb(header: Header) -> int:
    """The memory of the smallest machine, as they are made, that holds a model."""
    return next((mb for mb in MACHINES_MB if fits(header, mb)), MACHINES_MB[-1])


def fits(header: Header, machine_mb: int) -> bool:
    """Whether a machine holds a model, FIRMWARE_MB of its memory taken by its firmware."""
    return machine_holds(header, machine_mb << 20, FIRMWARE_MB << 20)


def memory_mb(memory_bytes: int) -> int:
    """How much memory a machine is given to run a model that takes so many bytes: where not all of it lies below
    4 GiB, enough for the model above.
    """
    needed = FIRMWARE_MB + (memory_bytes + (1 << 20) - 1 >> 20)
    return needed if needed << 20 <= LOW_BYTES[0] else needed + (LOW_BYTES[-1] >> 20)


def check_room(model: Packed, settings: Settings) -> None:
    """Refuse early what the metal would refuse after booting."""
    most = model.config.seq_len
    if settings.tokens > most:
        raise BarelmError(f"{settings.tokens} tokens are more than the {most} the context of {model.name} holds",
                          f"Ask for at most {most}.")


def check_asked(model: Packed, settings: Settings, watch: Watcher) -> None:
    """Refuse early what the metal would refuse, and say what a model cannot do that is asked of it."""
    check_room(model, settings)
    if settings.slot_context > model.config.seq_len:
        raise BarelmError(f"the context of {model.name} holds {model.config.seq_len} tokens, not "
                          f"{settings.slot_context}", "Ask for fewer.")
    if settings.serve and model.chat is None:
        watch.note(f"{model.name} cannot chat, only complete texts (/v1/completions): {model.chat_refusal}.")
    else:
        note_chat(model, settings, watch)


def served_bytes(model: Packed, settings: Settings) -> int:
    """What a node takes that serves a model: a cache for each of its slots, too, and what its connections hold."""
    slots, context = settings.slots or USUAL_SLOTS, settings.slot_context or model.config.seq_len
    return model.memory_bytes + slots_bytes(model.header, slots, context) + (NODE_MB << 20)


def note_chat(model: Packed, settings: Settings, watch: Watcher) -> None:
    """Say where a model that has a chat template goes on with the prompt all the same, and why; and where its template
    does not know what is asked of it.
    """
    if settings.template and model.chat_refusal.startswith(REFUSED):
        watch.note(f"{model.name} completes the prompt and does not answer it: {model.chat_refusal}.")
    if settings.think != "auto" and (model.chat is None or len(model.chat.sets) == 1):
        watch.note(f"{model.name} has no chat template that knows thinking on and off: --think changes nothing.")


def boot(spec: Spec, machine: Machine, model: Packed, watch: Watcher, say: Callable[[str], None], *,
         think: int = -1, stops: tuple[str, ...] = ()) -> Outcome:
    """Power on, listen to the end, power off.  Where a chat model answers, `think` is the number of how it was told to
    (else -1): then the text is the answer alone, without prompt and thoughts.  It ends before the first of the `stops`.
    """
    watch.step(f"Booting on {machine.name}")
    vocabulary = model.vocabulary()
    pieces = chat_set(vocabulary, think) if think >= 0 else -1
    heard = Transcript(vocabulary, reply_only=think >= 0, stops=stops, pieces=pieces)
    n_thought = 0
    with machine.start(spec) as session:
        while heard.status is None and (console := session.read(SILENCE_S)):
            said = heard.hear(console)
            watch.think(heard.thought[n_thought:])
            n_thought = len(heard.thought)
            say(said)
    say(heard.finish())
    watch.think(heard.thought[n_thought:])
    return outcome_of(heard, machine.name)
