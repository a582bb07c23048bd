"""How much of the memory's read bandwidth decoding reaches, for a model larger than the cache: one JSON line.

    python bench/bandwidth.py

A kernel of the dialect reads the packed weights of the 110M shape from end to end and adds them up; then barelm decodes
with them on the hosted firmware, every weight read once a token.  Both on one core, alternating, medians of five.
"""

from __future__ import annotations

import json
import statistics
import time

from shapes import random_checkpoint
from speed import Ours

from barelm.contract import sections
from barelm.dialect.lowering.install import jit
from barelm.dialect.memory import f32_array
from barelm.dialect.rooms import kernel
from barelm.dialect.types import LANES, U8, Real, f32
from barelm.dialect.vectors import load_f32x16, splat_f32x16, sum_tree
from barelm.host_files import working_folder

ROUNDS = 5
N_TOKENS = 64


@kernel
def add_up(data: U8) -> Real:
    """The sum of all whole blocks of 64 float32, four vectors side by side."""
    x = f32_array(data, 0, len(data) // 4)
    a = splat_f32x16(f32(0))
    b = a
    c = a
    d = a
    for i in range(0, len(x) - 4 * LANES + 1, 4 * LANES):
        a = a + load_f32x16(x, i)
        b = b + load_f32x16(x, i + LANES)
        c = c + load_f32x16(x, i + 2 * LANES)
        d = d + load_f32x16(x, i + 3 * LANES)
    return sum_tree((a + b) + (c + d))


def main() -> None:
    """Measure both and print the share."""
    with working_folder() as folder:
        ours = Ours(folder, *random_checkpoint("110M"), "", N_TOKENS)
        matrices = (sections.WQKV, sections.WO, sections.W13, sections.W2, sections.EMBEDDING)
        weights = [ours.model.sections[section].copy() for section in matrices]
        n_bytes = sum(len(part) for part in weights)
        read = jit(add_up)
        read(weights[0])
        pairs = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for part in weights:
                read(part)
            pairs.append((n_bytes / (time.perf_counter() - began), ours.run(1).decode_tokens_per_s * n_bytes))
    read_rate, decode_rate = (statistics.median(side) for side in zip(*pairs))
    print(json.dumps({"bench": "bandwidth", "model": "110M shape F32", "bytes_per_token": n_bytes,
                      "read_gb_per_s": round(read_rate / 1e9, 2), "decode_gb_per_s": round(decode_rate / 1e9, 2),
                      "share": round(statistics.median(b / a for a, b in pairs), 3)}))


if __name__ == "__main__":
    main()
