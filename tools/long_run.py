"""A conversation of many thousand turns on the hosted firmware: memory and speed stay flat, twice the same words.

    python -m tools.long_run --minutes 60
    python -m tools.long_run --turns 5000 --cores 2

Every so many turns a line says how many there were, how many a second, and what memory the machine takes.  Some turns
are commands that save, load, list, test and measure.  At the end the same turns are played again: exit code 1 where
any word differs, where the memory at the end is more than that in the middle by over a hundredth, or where its
speed is less than half.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from barelm.aot.build import build_program
from barelm.disk import write_image
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.hosted import Hosted, HostedSession
from barelm.machine.machine import Spec
from barelm.settings import Settings
from tests.appliance.chatty import Chatty

PATIENCE_S = 120.0
PROMPT = "\n> "
COMMANDS = {50: "/save long", 51: "/list", 120: "/load long", 170: "/selftest", 230: "/retry", 310: "/stats"}
PERIOD = 331
MEASURES = ("/stats",)
"""Commands that print figures in a sentence, which wraps where their widths let it: of these only that they answer."""
FIGURES = re.compile(r"\d[\d.,]*")
SPEED = re.compile(r"[\d.,]+ a second")
"""What a command measures, and what stands behind an answer: that differs."""
SAMPLES = 40


@dataclass(frozen=True)
class Sample:
    """What was measured at a turn."""

    turn: int
    turns_per_s: float
    kilobytes: int


def lines() -> Iterator[str]:
    """What is typed, for ever."""
    turn = 0
    while True:
        yield COMMANDS.get(turn % PERIOD, f"and what of number {turn}?")
        turn += 1


def machine_memory(session: HostedSession) -> int:
    """Kilobytes in memory of the process that runs the program, a child of the session's."""
    parent = session.pid
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            facts = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if int(facts["PPid"]) == parent and "VmRSS" in facts:
            return int(facts["VmRSS"].split()[0])
    return 0


def converse(image: Path, cores: int, turns: int, minutes: float, step: int) -> tuple[list[Sample], list[str], int]:
    """Talk for so many turns, or minutes: a sample each `step` turns, the sum of what was said, and the turns."""
    samples, sums, said = [], [], hashlib.sha256()
    done = 0
    ends = time.monotonic() + 60 * minutes if minutes else float("inf")
    with Hosted().start(Spec(image, 192, cores, writable=True)) as session:
        read_to_prompt(session)
        began = time.monotonic()
        for line in lines():
            session.send(f"{line}\n")
            words = read_to_prompt(session)
            said.update(heard(line, words).encode())
            done += 1
            if done % step == 0:
                now = time.monotonic()
                sample = Sample(done, step / (now - began), machine_memory(session))
                print(f"{done:8} turns, {sample.turns_per_s:7.1f} a second, {sample.kilobytes:,} KB", flush=True)
                samples.append(sample)
                sums.append(said.hexdigest())
                began = now
            if done == turns or time.monotonic() > ends and done % step == 0:
                break
        session.send("/quit\nx")
    return samples, sums, done


def heard(line: str, words: str) -> str:
    """Of what was said to a line what has to be the same another time."""
    if line in MEASURES:
        return line
    return (FIGURES if line.startswith("/") else SPEED).sub("", words)


def read_to_prompt(session: HostedSession) -> str:
    """What is said until something can be typed again."""
    text = "\n"
    while not text.endswith(PROMPT):
        content = session.read(PATIENCE_S)
        if not content:
            raise SystemExit(f"the machine ended: {text[-300:]}")
        text += content.decode(errors="replace")
    return text


def main(arguments: list[str]) -> int:
    """Talk twice, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--cores", type=int, default=1)
    order = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = Chatty(5, 512).write(folder / "model.blm", golden=True).path
        settings = Settings("", 0.7, tokens=12, seed=7, chat=True, wait=1, screen=False)
        images = [folder / f"{k}.img" for k in range(2)]
        for image in images:
            write_image(image, {PROGRAM: build_program(), "barelm.toml": settings.toml(), "model.blm": model},
                        free_bytes=2 << 20)
        most = order.turns or (0 if order.minutes else 2000)
        step = max(most // SAMPLES, 1) if most else 500
        first, sums, turns = converse(images[0], order.cores, most, order.minutes, step)
        print("the same once more")
        _, again, _ = converse(images[1], order.cores, turns, 0, step)
    parted = next((sample.turn for sample, one, other in zip(first, sums, again) if one != other), 0)
    early, late = first[len(first) // 2], first[-1]
    flat = late.kilobytes <= 1.01 * early.kilobytes and late.turns_per_s > early.turns_per_s / 2
    words = f"DIFFER before turn {parted}" if parted else "equal"
    print(f"{turns} turns; words {words}; memory {early.kilobytes:,} to {late.kilobytes:,} KB, "
          f"{early.turns_per_s:.1f} to {late.turns_per_s:.1f} turns a second: {'flat' if flat else 'NOT FLAT'}")
    return int(parted > 0 or not flat)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
