"""What this machine can do at most, found by the loops of `kernels.limits` under the JIT, on one core and on many."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from barelm.dialect.types import f32
from barelm.kernels import limits

READ_BYTES = 256 << 20
"""What is read at a time, all cores together: more than caches hold."""
LOOP_S = 0.05
TRIES = 3


@dataclass(frozen=True)
class Limits:
    """Of so many cores together: bytes read, and multiplications and additions done, in a second."""

    cores: int
    read_bytes_s: float
    float_ops_s: float
    int8_ops_s: float

    def attainable(self, ops: float, n_bytes: float, floats: bool) -> float:
        """Operations a second where so many come with so many bytes read (Williams et al. 2009)."""
        return min(self.float_ops_s if floats else self.int8_ops_s, ops / n_bytes * self.read_bytes_s)

    def better(self, other: "Limits") -> "Limits":
        """The best of two measurements: whatever else the machine does makes each only smaller."""
        return Limits(self.cores, max(self.read_bytes_s, other.read_bytes_s), max(self.float_ops_s, other.float_ops_s),
                      max(self.int8_ops_s, other.int8_ops_s))


class LimitsMeasured:
    """The limits of each number of cores; `measure` is called again and again between what is compared with them."""

    def __init__(self, cores: list[int]) -> None:
        """Compile the loops, and find out how many rounds last about LOOP_S."""
        from barelm.dialect.lowering.install import jit  # the compiler: help comes without it

        w, x, self._data = (np.full(size, 3, np.uint8) for size in (2048, 64, READ_BYTES))
        self._read = jit(limits.read_through)
        self._float_loop, self._float_ops = _sized(jit(limits.multiply_floats), 2 * limits.FLOATS_A_ROUND, f32(1))
        ops = 2 * limits.BYTES_A_ROUND
        self._int8_loops = [_sized(jit(limits.multiply_bytes), ops, w, x, int(x[:16].sum())),
                            _sized(jit(limits.multiply_nibbles), ops, w, x)]
        self.best = {n: Limits(n, 0.0, 0.0, 0.0) for n in cores}

    def measure(self) -> None:
        """Once more."""
        for n, before in self.best.items():
            parts = np.split(self._data[:READ_BYTES // n // 256 * 256 * n], n)
            reading = _seconds([partial(self._read, part) for part in parts])
            now = Limits(n, sum(map(len, parts)) / reading, n * self._float_ops / _seconds([self._float_loop] * n),
                         max(n * ops / _seconds([loop] * n) for loop, ops in self._int8_loops))
            self.best[n] = now.better(before)


def _sized(loop: Callable[..., Any], ops_a_round: int, *arguments: Any) -> tuple[Callable[[], Any], float]:
    """A loop that lasts about LOOP_S, compiled, and how many operations that is."""
    loop(1, *arguments)
    rounds = 1000
    while (took := _timed(partial(loop, rounds, *arguments))) < LOOP_S / 10:
        rounds *= 4
    rounds = max(int(rounds * LOOP_S / took), 1)
    return partial(loop, rounds, *arguments), float(rounds * ops_a_round)


def _seconds(loops: list[Callable[[], Any]]) -> float:
    """Until threads have all gone through their loops, the fewest; the first try only warms up."""
    with ThreadPoolExecutor(len(loops)) as pool:
        return min(_timed(lambda: [*pool.map(lambda loop: loop(), loops)]) for _ in range(1 + TRIES))


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
