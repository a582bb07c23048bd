"""How fast an image is written, beside a plain copy of the same file: one JSON line.

    python bench/disk.py [--size-mb 2048] [--rounds 3] [--folder /var/tmp]

Both write to the same folder in the same run, in turn, each over nothing; medians in MB (10^6 bytes) a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from barelm.disk import write_image

_BLOCK = 1 << 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Write an image, and copy the same file, in turn.")
    parser.add_argument("--size-mb", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="barelm-bench-", dir=chosen.folder) as name:
        model, image, copy = (Path(name, part) for part in ("model.blm", "out.img", "copy"))
        _make_model(model, chosen.size_mb)
        files: dict[str, Path | bytes] = {"EFI/BOOT/BOOTX64.EFI": os.urandom(100_000), "model.blm": model}
        seconds: dict[str, list[float]] = {"image": [], "cp": []}
        for _ in range(chosen.rounds):
            seconds["cp"].append(_seconds(copy, lambda: subprocess.run(["cp", model, copy], check=True)))
            seconds["image"].append(_seconds(image, lambda: write_image(image, files)))
    rates = {f"{what}_mb_per_s": round(chosen.size_mb * 1.048576 / statistics.median(times))
             for what, times in seconds.items()}
    print(json.dumps({"bench": "disk", "model_mb": chosen.size_mb, "rounds": chosen.rounds, **rates}))


def _make_model(path: Path, size_mb: int) -> None:
    """A file without holes or repetition, which file systems could otherwise save themselves."""
    block = bytearray(os.urandom(_BLOCK))
    with open(path, "wb") as file:
        for i in range(size_mb):
            block[:8] = i.to_bytes(8, "little")
            file.write(block)
        os.fsync(file.fileno())


def _seconds(out: Path, work: Callable[[], object]) -> float:
    """How long `work` takes until what it wrote is on the disk; removes `out` afterwards."""
    began = time.perf_counter()
    work()
    with open(out, "rb") as file:
        os.fsync(file.fileno())
    taken = time.perf_counter() - began
    out.unlink()
    return taken


if __name__ == "__main__":
    main()
