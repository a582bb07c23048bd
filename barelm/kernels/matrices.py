"""y = W x for a weight in any encoding, by panels of sixteen rows; `encodings` says how these are laid out."""

from typing import Any, NamedTuple

from barelm.contract.layout import TensorEntry
from barelm.dialect.memory import address_of, cells, f32_array, i8_array, memory, prefetch
from barelm.dialect.types import BLOCK, F32, F32_2D, LANES, U8, Kernel, f32, padded
from barelm.dialect.vectors import load_f32x16, splat_f32x16, store_f32x16
from barelm.kernels import encodings
from barelm.kernels.encodings import look_up, low_bits, q4, q4_k, q5, q6_k, q8_0
from barelm.kernels.encodings.activations import Activations, tokens_from
from barelm.kernels.encodings.floats import bf16_column, embed_floats, f16_column, f32_column, matmul_floats
from barelm.kernels.encodings.products import (
    add_minimum,
    add_nothing,
    add_offset,
    add_signed,
    add_unsigned,
    add_with_minimum,
)

FEW = 4
"""Fewer tokens than this go through the weights one after another."""

MANY = 32
"""The most that go through them together: their sums wait on the stack, 2 KiB."""

AHEAD = 10240
"""Bytes between a weight in use and the one being fetched, for one token, which waits for memory and little else."""

TOTALS_WORDS = MANY * LANES // 2
UNITS = 8  # unit vectors at once: the whole stack of a forward pass has to stay below a page
UNITS_WORDS = UNITS * (LANES // 2 + BLOCK // 8 + 1)


class Matrix(NamedTuple):
    """A weight of every layer: `rows x cols` in parts, one above another, each encoded in its own way."""

    directory: int  # address of a TensorEntry for every part, layer after layer
    n_parts: int
    n_experts: int  # as many such matrices there are in every layer, one above another in every part
    rows: int  # of all parts, each padded to 16
    cols: int
    data: U8


class Panels(NamedTuple):
    """A part of a matrix in one layer: panels of sixteen rows, all encoded as `kind`."""

    kind: int
    cols: int
    first: int  # how many panels of other parts there are above it
    last: int  # and above what follows it
    at: int  # where in `data` its first panel begins, and
    size: int  # the bytes of one


def by_encoding(use: Kernel, kind: int, job: Any) -> None:
    """`use` with what makes a quantized encoding, and with `job`.

    How products of sixteen columns are added, and what is at the end of 32; its columns, its factors.
    """
    if kind == encodings.Q8_0:
        use(add_signed, add_nothing, q8_0.columns, q8_0.factors, kind, job)
    elif kind == encodings.Q6_K:
        use(add_offset, add_nothing, q6_k.columns, q6_k.factors, kind, job)
    elif kind == encodings.Q5_0 or kind == encodings.Q5_1:
        use(add_unsigned, add_minimum, q5.columns, q5.factors, kind, job)
    elif kind == encodings.Q4_K:
        use(add_unsigned, add_minimum, q4_k.q4_columns, q4_k.factors, kind, job)
    elif kind == encodings.Q5_K:
        use(add_unsigned, add_minimum, q4_k.q5_columns, q4_k.factors, kind, job)
    elif kind == encodings.IQ4_NL or kind == encodings.IQ4_XS or kind == encodings.MXFP4:
        use(add_signed, add_nothing, look_up.columns, look_up.factors, kind, job)
    elif kind == encodings.Q3_K:
        use(add_offset, add_nothing, low_bits.q3_columns, low_bits.factors, kind, job)
    elif kind == encodings.Q2_K:
        use(add_with_minimum, add_nothing, low_bits.q2_columns, low_bits.factors, kind, job)
    else:
        use(add_unsigned, add_minimum, q4.columns, q4.factors, kind, job)


def by_float(use: Kernel, data: U8, w: Panels, lo: int, hi: int, job: Any) -> None:
    """`use` with what loads a column of floats, with the weights of panels lo to hi, and with `job`."""
    at = w.at + (lo - w.first) * w.size
    if w.kind == encodings.F16:
        use(f16_column, data[at:], w.cols, job)
    elif w.kind == encodings.BF16:
        use(bf16_column, data[at:], w.cols, job)
    else:
        use(f32_column, f32_array(data, at, (hi - lo) * LANES * w.cols), w.cols, job)


def is_stored(kind: int, cols: int) -> bool:
    """Whether there is such a kind, and its blocks cover no more of `cols` columns than activations have."""
    return 0 <= kind < encodings.N_KINDS and padded(cols, encodings.COLUMNS[kind]) <= padded(cols, BLOCK)


def panel_bytes(kind: int, cols: int) -> int:
    """Bytes of sixteen rows of `cols` columns."""
    return padded(cols, encodings.COLUMNS[kind]) // encodings.COLUMNS[kind] * encodings.BLOCK_BYTES[kind]


def matmul(y: F32_2D, w: Matrix, l: int, x: Activations, n: int, lo: int, hi: int) -> None:
    """y[t, i] = Σ_j W_l[i, j] x[t, j] for tokens t < n and the rows i of panels lo to hi.

    Number l is that of the layer; of experts, l n_experts + e.
    """
    first = 0
    for p in range(w.n_parts):
        part = panels_of(w, l, p, first)
        if max(lo, first) < min(hi, part.last):
            multiply(y, w.data, part, x, n, max(lo, first), min(hi, part.last))
        first = part.last


def panels_of(w: Matrix, l: int, p: int, first: int) -> Panels:
    """Part p of matrix l, `first` panels being above it."""
    tensor = TensorEntry(w.directory + (l // w.n_experts * w.n_parts + p) * TensorEntry.BYTES)
    n = tensor.rows // w.n_experts // LANES
    size = panel_bytes(tensor.kind, w.cols)
    return Panels(tensor.kind, w.cols, first, first + n, tensor.offset + l % w.n_experts * n * size, size)


def multiply(y: F32_2D, data: U8, w: Panels, x: Activations, n: int, lo: int, hi: int) -> None:
    """The same for panels of one part."""
    if encodings.IS_FLOAT[w.kind]:
        by_float(matmul_floats, data, w, lo, hi, (y, x.values, n, lo, hi))
        return
    t = 0
    while n - t >= FEW:
        many_tokens(y[t:], data, w, tokens_from(x, t), min(n - t, MANY), lo, hi)
        t += MANY
    while t < n:
        by_encoding(one_token, w.kind, (y[t], data, w, x, t, lo, hi))
        t += 1


def one_token(add: Kernel, finish: Kernel, columns: Kernel, factors: Kernel, kind: int, job: Any) -> None:
    """The rows of panels lo to hi for one token, whose sums stay in registers."""
    y, data, w, x, t, lo, hi = job
    block = encodings.BLOCK_BYTES[kind]
    n_blocks = w.size // block
    if n_blocks < 1:
        return  # never, but the compiler would prepare for it
    parts = max(1, x.sums.shape[1] // n_blocks)
    stride = block // parts
    at = w.at + (lo - w.first) * w.size
    for panel in range(lo, hi):
        total = splat_f32x16(f32(0))
        for b in range(n_blocks):
            d, m = factors(data, at, kind)
            for part in range(parts):
                for line in range(part * stride, (part + 1) * stride, 64):
                    prefetch(data, at + AHEAD + line)
                i = b * parts + part
                total = add(total, columns(data, at, part, 0, d, m, kind), x, t, 2 * i)
                last = columns(data, at, part, 1, d, m, kind)
                total = finish(add(total, last, x, t, 2 * i + 1), last, x, t, i)
            at += block
        store_f32x16(y, panel * LANES, total)


def many_tokens(y: F32_2D, data: U8, w: Panels, x: Activations, n: int, lo: int, hi: int) -> None:
    """The same for n tokens: sixteen columns are unpacked once and used n times."""
    words = cells(TOTALS_WORDS)
    totals = f32_array(memory(address_of(words), 8 * TOTALS_WORDS), 0, (MANY, LANES))
    for panel in range(lo, hi):
        at = w.at + (panel - w.first) * w.size
        for t in range(n):
            store_f32x16(totals[t], 0, splat_f32x16(f32(0)))
        for half in range(x.scales.shape[1]):
            by_encoding(add_columns, w.kind, (totals, data, at, half, x, half, n))
        for t in range(n):
            store_f32x16(y[t], panel * LANES, load_f32x16(totals[t], 0))


def add_columns(add: Kernel, finish: Kernel, columns: Kernel, factors: Kernel, kind: int, job: Any) -> None:
    """Add the products of sixteen columns of a panel, and of sixteen of the activations, to the sums of n tokens."""
    totals, w, at, column, x, half, n = job
    parts = encodings.COLUMNS[kind] // BLOCK
    at += (column >> 1) // parts * encodings.BLOCK_BYTES[kind]
    d, m = factors(w, at, kind)
    sixteen = columns(w, at, (column >> 1) % parts, column & 1, d, m, kind)
    for t in range(n):
        total = add(load_f32x16(totals[t], 0), sixteen, x, t, half)
        if half & 1 == 1:
            total = finish(total, sixteen, x, t, half >> 1)
        store_f32x16(totals[t], 0, total)


def embed(x: F32, w: Matrix, row: int) -> None:
    """x = W[row, :]: the embedding of a token.  W times a unit vector is a column, and all of this is exact."""
    part = panels_of(w, 0, 0, 0)
    if encodings.IS_FLOAT[part.kind]:
        by_float(embed_floats, w.data, part, 0, part.last, (x, row))
        return
    words = cells(UNITS_WORDS)
    block = memory(address_of(words), 8 * UNITS_WORDS)
    totals = f32_array(block, 0, (UNITS, LANES))
    at = row // LANES * part.size
    for first in range(0, padded(w.cols, BLOCK), UNITS):
        units = bind_units(block, 4 * UNITS * LANES, first % LANES)
        for t in range(UNITS):
            store_f32x16(totals[t], 0, splat_f32x16(f32(0)))
        by_encoding(add_columns, part.kind, (totals, w.data, at, first // LANES, units, 1, UNITS))
        for t in range(UNITS):
            x[first + t] = totals[t, row % LANES]


def bind_units(block: U8, at: int, first: int) -> Activations:
    """The unit vectors of some columns of the second half of a block, a token each."""
    ones = f32_array(block, at + UNITS * BLOCK, (UNITS, 2))
    units = Activations(ones, i8_array(block, at, (UNITS, BLOCK)), ones,
                        f32_array(block, at + UNITS * BLOCK, (UNITS, 1)))
    for t in range(UNITS):
        for i in range(LANES):
            units.quants[t, LANES + i] = 0
        units.quants[t, LANES + first + t] = 1
        ones[t, 0] = f32(1)
        ones[t, 1] = f32(1)
    return units
