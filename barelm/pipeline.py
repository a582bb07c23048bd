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

from barelm.aot.build import build_program, is_built, source_key
from barelm.checkpoint.hub import resolve_model
from barelm.checkpoint.read import read_checkpoint
from barelm.contract.session_file import PREFIX_PATH
from barelm.contract.settings import THINKS
from barelm.dialect.lowering import FAMILY
from barelm.disk import open_volume, write_image
from barelm.errors import BarelmError
from barelm.host_files import cache_folder, sources_digest, working_folder
from barelm.kernels.text.chat_turn import chat_set
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Machine, Spec
from barelm.outcome import Outcome, check_ended, outcome_of
from barelm.pack.chat_pieces import REFUSED
from barelm.pack.golden import Golden
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from barelm.settings import Settings
from barelm.transcript import Transcript

PROGRAM_PATH = f"EFI/BOOT/{FAMILY.boot_file}"
MODEL_PATH = "model.blm"
SETTINGS_PATH = "barelm.toml"

DEFAULT_CONTEXT = 2048
"""The context of a model that has a longer one: the key-value cache takes memory for all of it."""

PREFIX_MB = 1
"""Beside the cache, what a saved session takes at most."""

FIRMWARE_MB = 256
"""What a firmware takes for itself, generously."""

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
    context: int = 0  # 0: the model's, at most DEFAULT_CONTEXT


@dataclass(frozen=True)
class Order:
    """What a run is asked for."""

    model: str
    tokenizer: Path | None = None
    packing: Packing = Packing()
    settings: Settings = Settings()
    memory_mb: int = 0  # 0: as much as the model needs
    cores: int = 1


def run(order: Order, machine: Machine, watch: Watcher, say: Callable[[str], None]) -> Outcome:
    """From a checkpoint to the last word: `say` gets the text as it is made."""
    model = packed_model(order.model, order.tokenizer, order.packing, watch)
    check_room(model, order.settings)
    note_chat(model, order.settings, watch)
    program = built_program(watch)
    with working_folder() as folder:
        chats = model.chat is not None
        settings = order.settings.suited(chats).but(report=True, at_end="shutdown", cores=order.cores)
        image = bootable_image(folder / "run.img", program, model.path, settings, watch)
        spec = Spec(image, order.memory_mb or memory_mb(model.memory_bytes), order.cores)
        return boot(spec, machine, model, watch, say, stops=settings.stop,
                    think=THINKS.index(settings.think) if settings.template and chats else -1)


def packed_model(model: str, tokenizer: Path | None, packing: Packing, watch: Watcher) -> Packed:
    """The packed form of a checkpoint, from the cache where it was packed before; a `.blm` is taken as it is."""
    watch.step(f"Looking for {model}")
    path, found_tokenizer = resolve_model(model, tokenizer, watch.progress)
    if path.suffix == ".blm":
        return read_packed(path)
    packed = cache_folder("models") / f"{path.stem}-{pack_key(path, found_tokenizer, packing)}.blm"
    if not packed.is_file():
        pack(path, found_tokenizer, packing, packed, watch)
    return read_packed(packed, verify=False)


def pack(path: Path, tokenizer: Path | None, packing: Packing, out: Path, watch: Watcher) -> None:
    """Read a checkpoint and write it packed, with an example of what it computes where this host can run it."""
    example = None
    if Hosted().why_not() is None:
        program = built_program(watch)
        example = partial(example_of, program=program, watch=watch)
    watch.step(f"Packing {path.name}")
    checkpoint = read_checkpoint(path, tokenizer)
    most = checkpoint.shape.seq_len
    if packing.context > most:
        raise BarelmError(f"the context of {path.name} is {most} tokens, not {packing.context}",
                          f"Ask for a --context of at most {most}.")
    seq_len = packing.context or min(most, DEFAULT_CONTEXT)
    checkpoint = replace(checkpoint, shape=replace(checkpoint.shape, seq_len=seq_len))
    write_packed(checkpoint, out, watch.progress, packing.quant, packing.kv, example)


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
    for file in (path, tokenizer):
        if file is not None and file.is_file():
            status = file.stat()
            parts += [file.resolve(), status.st_size, status.st_mtime_ns]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def built_program(watch: Watcher) -> Path:
    """The program, compiled first where it has to be."""
    if not is_built():
        watch.step("Compiling the program")
    return build_program()


def bootable_image(out: Path, program: Path, model: Path, settings: Settings, watch: Watcher, *,
                   plain: bool = False, free_bytes: int = 0, more: Mapping[str, Path | bytes] | None = None) -> Path:
    """A disk image that any UEFI PC boots into the model, with `more` files on it."""
    watch.step(f"Writing {out.name}")
    files: dict[str, Path | bytes] = {PROGRAM_PATH: program, SETTINGS_PATH: settings.toml(), MODEL_PATH: model,
                                     **(more or {})}
    write_image(out, files, plain=plain, free_bytes=free_bytes, progress=watch.progress)
    return out


def memory_mb(memory_bytes: int) -> int:
    """How much memory a machine needs to run a model that takes so many bytes."""
    return FIRMWARE_MB + (memory_bytes + (1 << 20) - 1 >> 20)


def check_room(model: Packed, settings: Settings) -> None:
    """Refuse early what the metal would refuse after booting."""
    most = model.config.seq_len
    if settings.tokens > most:
        raise BarelmError(f"{settings.tokens} tokens are more than the {most} the context of {model.name} holds",
                          f"Ask for at most {most}.")


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
