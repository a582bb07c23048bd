"""The pictures of docs/APPLIANCE.md: a scripted person before the hosted firmware's screen, with the default model.

    python -m tools.pictures [--machine qemu] [--size 800x600] [--output docs/pictures]

Under QEMU the size is the firmware's, and an emulated processor takes its time.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
import time
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from barelm import pipeline
from barelm.commands.progress import ProgressBar
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Machine, Spec
from barelm.machine.qemu import Qemu
from barelm.settings import Settings
from tests.appliance.chatty import volume_of
from tests.appliance.person import Person

MEMORY_MB = 448
QUESTIONS = ("Why do ships float?", "Who found that out?", "Tell me a long story about him.")
AGAIN = "How does the story end?"
ALPHABETS = ("Καλημέρα κόσμε · Доброе утро, мир · Dzień dobry, świecie · ¡Buenos días! · Ægir ßtraße Ñandú",
             "┌───────┬───────┐  ╔═══════╗  ▁▂▃▄▅▆▇█  ← ↑ → ↓",
             "│ left  │ right │  ║ ∀x∈ℝ  ║  ░▒▓█ ▌▐   ≤ ≥ ≠ ≈ ± ∞ √",
             "└───────┴───────┘  ╚═══════╝  ● ○ ■ □   € £ ¥ § © °")


class Album:
    """Where the pictures go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, me: Person, name: str) -> None:
        """What the screen shows now, as a PNG of few colours."""
        with tempfile.TemporaryDirectory() as folder:
            me.session.screenshot(Path(folder) / "screen.ppm")  # type: ignore[attr-defined]
            content = (Path(folder) / "screen.ppm").read_bytes()
        _, size, _, pixels = content.split(b"\n", 3)
        width, height = map(int, size.split())
        path = self.folder / f"{name}.png"
        path.write_bytes(palette_png(width, height, np.frombuffer(pixels, np.uint8).reshape(height, width, 3)))
        print(f"{path}: {path.stat().st_size:,} bytes")


def palette_png(width: int, height: int, pixels: np.ndarray) -> bytes:  # type: ignore[type-arg]
    """A PNG of at most 256 colours (W3C PNG, sections 5 and 11): no filters, one chunk."""
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, numbers = np.unique(packed, return_inverse=True)
    lines = np.zeros((height, 1 + width), np.uint8)
    lines[:, 1:] = numbers.reshape(height, width)
    palette = b"".join(struct.pack(">I", colour)[1:] for colour in colours.tolist())
    return b"".join((b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
                     chunk(b"PLTE", palette), chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), chunk(b"IEND", b"")))


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def volume(path: Path, slow: bool) -> Path:
    """A volume of four models, one damaged, one too large for the machine."""
    with ProgressBar() as bar:
        model = pipeline.packed_model("smollm2", None, pipeline.Packing(), bar)
        long = pipeline.packed_model("smollm2", None, pipeline.Packing(kv="f32", context=8192), bar)
        small = pipeline.packed_model("stories260K", None, pipeline.Packing(), bar)
        settings = Settings("", seed=3, chat=True, countdown=20 if slow else 9, wait=0).suited(True)
        prefix = pipeline.prefix_of(model, settings, pipeline.built_program(bar), bar)
    broken = bytearray(small.path.read_bytes())
    broken[200] ^= 1
    return volume_of(path, settings, {"smollm2.blm": model.path, "smollm2-8k.blm": long.path,
                                      "stories260k.blm": small.path, "broken.blm": bytes(broken)},
                     free_mb=64, prefix=prefix)


def first_visit(me: Person, album: Album, tokens: int) -> None:
    """The menu; a conversation; an answer that is stopped."""
    me.sees("Which model?", "▶ smollm2.blm")
    time.sleep(1.2)
    album.take(me, "menu")
    me.press("enter")
    if me.keyboard:
        me.sees("Loading ")
        album.take(me, "loading")
    me.sees("Type a message")
    me.waits()
    me.says(f"/tokens {tokens}")
    me.waits()
    for question in QUESTIONS[:-1]:
        me.says(question)
        me.waits()
    me.says("/tokens 0")  # as many as fit: the answer must not be over before Esc is pressed
    me.waits()
    me.says(QUESTIONS[-1])
    me.sees("\n", after=f"> {QUESTIONS[-1]}\n")
    time.sleep(0.2)
    album.take(me, "conversation")
    me.press("esc")
    me.sees("[stopped]")
    me.waits()
    me.says("/save ships")
    me.waits()
    album.take(me, "stopped")
    me.says("/off")
    me.leaves()


def second_visit(me: Person, album: Album, tokens: int) -> None:
    """Loaded again; other alphabets; the machine."""
    me.sees("Which model?")
    me.press("enter")
    me.sees("Type a message")
    me.waits()
    for command in (f"/tokens {tokens}", "/list"):
        me.says(command)
        me.waits()
    me.says("/load ships")
    me.sees(f"> {QUESTIONS[-1]}")
    me.said = ""
    me.waits()
    me.says(AGAIN)
    me.waits()
    album.take(me, "loaded")
    me.says("/clear")
    me.waits()
    if not me.keyboard:
        me.type("\x1b\r".join(ALPHABETS))
        me.sees("© °")
        album.take(me, "alphabets")
        me.press("ctrl-c")
    for command in ("/cpu", "/bench", "/selftest", "/report", "/stats", "/temp hot"):
        me.says(command)
        me.waits()
    album.take(me, "machine")
    me.says("/off")
    me.leaves()


def main() -> None:
    """Boot twice, and take the pictures on the way."""
    parser = argparse.ArgumentParser(description="Take the pictures of docs/APPLIANCE.md.")
    parser.add_argument("--machine", choices=("hosted", "qemu"), default="hosted")
    parser.add_argument("--size", default="800x600")
    parser.add_argument("--tokens", type=int, default=120)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "docs" / "pictures")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    slow = options.machine == "qemu"
    machine: Machine = Qemu(screen=True) if slow else Hosted(screen=(width, height))
    album = Album(options.output)
    with tempfile.TemporaryDirectory() as folder:
        spec = Spec(volume(Path(folder) / "stick.img", slow), MEMORY_MB, options.cores, writable=True, terminal=True)
        for visit in (partial(first_visit, tokens=options.tokens), partial(second_visit, tokens=options.tokens)):
            with Person(machine.start(spec), looks_at="screen", keyboard=slow) as me:
                visit(me, album)


if __name__ == "__main__":
    main()
