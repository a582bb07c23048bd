"""y = W x for a weight in any encoding, by panels of sixteen rows; `encodings` says how these are laid out."""

from typing import Any, NamedTuple

from barelm.contract.layout import TensorEntry
from barelm.dialect.memory import address_of, f32_array, fill_bytes, i32_array, memory, prefetch, scratch, u8_array
from barelm.dialect.types import BLOCK, F32, F32_2D, LANES, U8, Kernel, f32, padded
from barelm.dialect.vectors import load_f32x16, splat_f32x16, store_f32x16
from barelm.kernels import encodings
from barelm.kernels.encodings import look_up, low_bits, q4, q4_k, q5, q6_k, q8_0
from barelm.kernels.encodings.activations import HALF_BYTES, QUANT_SUM, SCALE, SUM, Activations, tokens_from
from barelm.kernels.encodings.floats import bf16_column, embed_floats, f16_column, f32_column, matmul_floats
from barelm.kernels.encodings.products import (
    add_minimum,
    add_nothing,
    add_offset,
    add_signed,
    add_unsigned,
    add_with_minimum,
)

MANY = 32
"""The most tokens that go through the weights together: their sums wait on the stack, 2 KiB."""

AHEAD = 10240
"""Bytes between a weight in use and the one being fetched: few tokens wait for memory and little else."""

ALL_BLOCKS = -1

TOTALS_WORDS = MANY * LANES // 2
UNITS_WORDS = LANES * (LANES // 2 + HALF_BYTES // 4)


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

    How products of sixteen columns are added, and what is at the end of 32; its columns, its factors, how many lines
    of the cache 32 columns of sixteen rows take.
    """
    if kind == encodings.Q8_0:
        use(add_signed, add_nothing, q8_0.columns, q8_0.factors, 9, kind, job)
    elif kind == encodings.Q6_K:
        use(add_offset, add_nothing, q6_k.columns, q6_k.factors, 7, kind, job)
    elif kind == encodings.Q5_0 or kind == encodings.Q5_1:
        use(add_unsigned, add_minimum, q5.columns, q5.factors, 6, kind, job)
    elif kind == encodings.Q4_K:
        use(add_unsigned, add_minimum, q4_k.q4_columns, q4_k.factors, 5, kind, job)
    elif kind == encodings.Q5_K:
        use(add_unsigned, add_minimum, q4_k.q5_columns, q4_k.factors, 6, kind, job)
    elif kind == encodings.IQ4_NL or kind == encodings.IQ4_XS:
        use(add_signed, add_nothing, look_up.iq4_columns, look_up.iq4_factors, 5, kind, job)
    elif kind == encodings.MXFP4:
        use(add_signed, add_nothing, look_up.fp4_columns, look_up.fp4_factors, 5, kind, job)
    elif kind == encodings.Q3_K:
        use(add_offset, add_nothing, low_bits.q3_columns, low_bits.factors, 4, kind, job)
    elif kind == encodings.Q2_K:
        use(add_with_minimum, add_nothing, low_bits.q2_columns, low_bits.factors, 3, kind, job)
    else:
        use(add_unsigned, add_minimum, q4.columns, q4.factors, 5, kind, job)


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
    words = scratch(TOTALS_WORDS)
    totals = f32_array(memory(address_of(words), 8 * TOTALS_WORDS), 0, (MANY, LANES))
    for first in range(0, n, MANY):
        some = min(n - first, MANY)
        tokens = tokens_from(x, first)
        for panel in range(lo, hi):
            add_panel(totals, data, w, w.at + (panel - w.first) * w.size, tokens, some, ALL_BLOCKS)
            for t in range(some):
                store_f32x16(y[first + t], panel * LANES, load_f32x16(totals[t], 0))


def add_panel(totals: F32_2D, data: U8, w: Panels, at: int, x: Activations, n: int, block: int) -> None:
    """totals = the sums of n tokens over a panel from byte `at` on; over BLOCK columns of it alone."""
    for t in range(n):
        store_f32x16(totals[t], 0, splat_f32x16(f32(0)))
    parts = encodings.COLUMNS[w.kind] // BLOCK
    if block == ALL_BLOCKS:
        by_encoding(add_blocks, w.kind, (totals, data, at, w.size // encodings.BLOCK_BYTES[w.kind], 0, parts, x, n))
    else:
        at += block // parts * encodings.BLOCK_BYTES[w.kind]
        by_encoding(add_blocks, w.kind, (totals, data, at, 1, block % parts, block % parts + 1, x, n))


def add_blocks(add: Kernel, finish: Kernel, columns: Kernel, factors: Kernel, lines: int, kind: int, job: Any) -> None:
    """Add the products of some blocks of a panel, or of a part of them, to the sums of n tokens.

    Sixteen columns are unpacked once and used n times.
    """
    totals, w, at, n_blocks, first, last, x, n = job
    stride = encodings.BLOCK_BYTES[kind] // (encodings.COLUMNS[kind] // BLOCK)
    i = 0
    for _ in range(n_blocks):
        for part in range(first, last):
            d, m = factors(w, at, part, kind)
            for line in range(lines):
                prefetch(w, at + AHEAD + part * stride + 64 * line)
            sixteen = columns(w, at, part, 0, d, m, kind)
            for t in range(n):
                store_f32x16(totals[t], 0, add(load_f32x16(totals[t], 0), sixteen, x, t, 2 * i))
            sixteen = columns(w, at, part, 1, d, m, kind)
            for t in range(n):
                total = add(load_f32x16(totals[t], 0), sixteen, x, t, 2 * i + 1)
                store_f32x16(totals[t], 0, finish(total, sixteen, x, t, i))
            i += 1
        at += encodings.BLOCK_BYTES[kind]


def embed(x: F32, w: Matrix, row: int) -> None:
    """x = W[row, :]: the embedding of a token.  W times a unit vector is a column, and all of this is exact.

    Of a row there is not, that nearest to it.
    """
    row = min(max(row, 0), w.rows - 1)
    part = panels_of(w, 0, 0, 0)
    if encodings.IS_FLOAT[part.kind]:
        by_float(embed_floats, w.data, part, 0, part.last, (x, row))
        return
    words = scratch(UNITS_WORDS)
    block = memory(address_of(words), 8 * UNITS_WORDS)
    totals = f32_array(block, 0, (LANES, LANES))
    for first in range(0, padded(w.cols, BLOCK), LANES):
        units = unit_vectors(block, 4 * LANES * LANES, first % BLOCK)
        add_panel(totals, w.data, part, row // LANES * part.size, units, LANES, first // BLOCK)
        for t in range(LANES):
            x[first + t] = totals[t, row % LANES]


def unit_vectors(block: U8, at: int, first: int) -> Activations:
    """Sixteen unit vectors, from byte `at` of a block on: those of the columns from `first` on that share a scale."""
    halves = u8_array(block, at, (LANES, 2 * HALF_BYTES))
    units = Activations(f32_array(block, at, (LANES, 1)), halves)
    for t in range(LANES):
        fill_bytes(address_of(halves[t]), 0, 2 * HALF_BYTES)
        row = halves[t]
        for half in range(2):
            f32_array(row, half * HALF_BYTES + SCALE, 1)[0] = f32(1)
        halves[t, first // LANES * HALF_BYTES + t] = 1
        i32_array(row, first // LANES * HALF_BYTES + QUANT_SUM, 1)[0] = 1
        f32_array(row, SUM, 1)[0] = f32(1)
    return units
