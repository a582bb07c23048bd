"""Mutated files for everything the host reads of others, guided by coverage: `python -m tools.fuzz`.

    python -m tools.fuzz [READER...] [--runs N] [--seconds S] [--into FOLDER] [--keep] [--blind]

The readers are in `tests/fuzz/readers.py`; each is fed by atheris (the extra `fuzz`) in a process of its own, from its
sound files and its corpus.  Only BarelmError may come out.  What does otherwise is left in FOLDER, and the status is 1:
make it a test.  --keep adds the smallest files that reach new code to the corpus in the tree.  --blind damages what the
corpus has by the dice, without atheris: many times as fast, for great numbers once the corpus has grown.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import importlib
import random
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "tests" / "fuzz" / "corpus"
MOST_KEPT, LARGEST_KEPT = 24, 2048
TIMEOUT_S, MEMORY_MB = 20, 1500


def main() -> int:
    """Run the readers asked for, one after the other, and print a line for each."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("readers", nargs="*")
    options.add_argument("--runs", type=int, default=100_000)
    options.add_argument("--seconds", type=int, default=600)
    options.add_argument("--into", type=Path, default=Path("findings"))
    options.add_argument("--keep", action="store_true")
    options.add_argument("--blind", action="store_true")
    if sys.argv[1:2] == ["--child"]:
        return feed(sys.argv[2], sys.argv[3:])
    given = options.parse_args()
    readers = importlib.import_module("tests.fuzz.readers").READERS
    found = 0
    print(f"{'reader':16} {'executions':>12} {'seconds':>8} {'edges':>6}  findings")
    for name in given.readers or readers:
        found += (storm if given.blind else fuzz)(name, given)
    return int(found > 0)


def fuzz(name: str, given: argparse.Namespace) -> int:
    """Feed one reader; returns how many findings there are."""
    reader = importlib.import_module("tests.fuzz.readers").READERS[name]
    growing, artifacts = given.into / f"{name}-corpus", given.into / name
    for folder in (growing, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in reader.seeds():
        (growing / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed[:reader.longest])
    began, before = time.monotonic(), set(artifacts.iterdir())
    command = [sys.executable, "-m", "tools.fuzz", "--child", name, f"-runs={given.runs}", f"-timeout={TIMEOUT_S}",
               f"-max_total_time={given.seconds}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={reader.longest}",
               f"-artifact_prefix={artifacts}/", "-print_final_stats=1", str(growing)]
    done = subprocess.run([*command, *map(str, [CORPUS / name] * (CORPUS / name).is_dir())], capture_output=True,
                          text=True, errors="replace", check=False)
    runs = re.findall(r"number_of_executed_units: (\d+)|Done (\d+) runs", done.stderr)
    edges = re.findall(r"cov: (\d+)", done.stderr)
    new = sorted(set(artifacts.iterdir()) - before)
    if not runs or done.returncode and not new:
        print(done.stderr[-2000:], file=sys.stderr)
    print(f"{name:16} {int(runs[-1][0] or runs[-1][1]) if runs else 0:12,} "
          f"{time.monotonic() - began:8.0f} {edges[-1] if edges else '-':>6}  {', '.join(path.name for path in new)}",
          flush=True)
    if new:
        print(done.stderr[-3000:], file=sys.stderr)
    if given.keep:
        keep(name, growing)
    return len(new)


def storm(name: str, given: argparse.Namespace) -> int:
    """Damage what there is by the dice; returns 1 where something else than BarelmError came out."""
    module = importlib.import_module("tests.fuzz.readers")
    reader, known = module.READERS[name], importlib.import_module("barelm.errors").BarelmError
    folders = (given.into / f"{name}-corpus", CORPUS / name)
    files = [*reader.seeds(), *(path.read_bytes() for folder in folders for path in folder.glob("*"))]
    dice, began, runs = random.Random(time.time_ns()), time.monotonic(), 0
    gc.freeze()
    while runs < given.runs and time.monotonic() - began < given.seconds:
        content = module.damaged(dice.choice(files)[:reader.longest], dice)
        runs += 1
        try:
            reader.read(content)
        except known:
            continue
        except Exception:
            (given.into / name).mkdir(parents=True, exist_ok=True)
            (given.into / name / f"crash-{hashlib.sha256(content).hexdigest()[:16]}").write_bytes(content)
            traceback.print_exc()
            break
    else:
        print(f"{name:16} {runs:12,} {time.monotonic() - began:8.0f}  blind", flush=True)
        return 0
    print(f"{name:16} {runs:12,} {time.monotonic() - began:8.0f}  blind, a finding in {given.into / name}", flush=True)
    return 1


def keep(name: str, growing: Path) -> None:
    """Add the smallest files of a grown corpus to the tree's."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    small = sorted((path for path in growing.iterdir() if path.stat().st_size <= LARGEST_KEPT),
                   key=lambda path: path.stat().st_size)
    step = max(len(small) // MOST_KEPT, 1)
    for path in small[::step][:MOST_KEPT]:
        (folder / path.name[:16]).write_bytes(path.read_bytes())


def feed(name: str, arguments: list[str]) -> int:
    """In a child: libFuzzer calls the reader until it is done or something else than BarelmError comes out."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["barelm"]):
        errors = importlib.import_module("barelm.errors")
        reader = importlib.import_module("tests.fuzz.readers").READERS[name]
    reader.seeds()
    gc.freeze()  # a library may collect at every call: not over all that was imported

    def once(content: bytes) -> None:
        with contextlib.suppress(errors.BarelmError):
            reader.read(content)

    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
