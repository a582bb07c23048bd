"""What a forward pass is given: the sizes, the weights, and the state, as views of memory (`contract.layout`)."""

from __future__ import annotations

from typing import NamedTuple

from barelm.contract import layout
from barelm.dialect.memory import f32_array, float_of_bits, i8_array, i32_array, i64_array, u8_array, u64_array
from barelm.dialect.rooms import kernel
from barelm.dialect.types import BLOCK, F32, F32_2D, F32_3D, I32, I64, LANES, U8, U8_3D, U64, Real, padded
from barelm.kernels.cache import item_bytes
from barelm.kernels.encodings.activations import Activations
from barelm.kernels.matrices import Matrix
from barelm.kernels.team import GATE_WORDS


class Config(NamedTuple):
    """The sizes of a Llama."""

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    q_dim: int  # n_heads * head_dim
    kv_dim: int  # n_kv_heads * head_dim
    vocab_size: int
    seq_len: int
    batch: int  # tokens one pass may take
    norm_eps: Real
    kv_kind: int  # the form of the key-value cache


class Weights(NamedTuple):
    """What was learnt.  Norms are padded with zeros to whole blocks."""

    rope: F32  # (seq_len, head_dim / 2, 2)
    attention_norm: F32_2D  # (layer, dim)
    ffn_norm: F32_2D  # (layer, dim)
    norm: F32_2D  # (1, dim)
    embedding: Matrix  # (vocab_size, dim)
    wqkv: Matrix  # (layer, q_dim + 2 kv_dim, dim)
    wo: Matrix  # (layer, dim, q_dim)
    w13: Matrix  # (layer, 2 hidden_dim, dim), vectors of w1 and w3 in turn
    w2: Matrix  # (layer, dim, hidden_dim)
    classifier: Matrix  # (vocab_size, dim)


class State(NamedTuple):
    """What changes while the model runs: activations of a batch of tokens, the key-value cache, the session."""

    x: F32_2D  # (batch, dim) the residual stream
    xn: Activations  # (batch, dim) x, normalised
    added: F32_2D  # (batch, dim) what a block adds to x
    qkv: F32_2D  # (batch, q_dim + 2 kv_dim)
    attended: Activations  # (batch, q_dim)
    h13: F32_2D  # (batch, 2 hidden_dim)
    h: Activations  # (batch, hidden_dim)
    logits: F32_2D  # (1, vocab_size)
    scores: F32_2D  # (core, seq_len)
    out: F32_2D  # (core, head_dim)
    keys: U8_3D  # (layer, kv head, bytes); see `kernels.cache`
    values: U8_3D  # (layer, kv head, bytes)
    key_scales: F32_3D  # (layer, kv head, seq_len), of int8 keys
    value_scales: F32_3D
    order: I32  # (vocab_size) the sampler's heap
    tokens: I64  # (seq_len + 1) the ids of the session, prompt first
    rng: U64  # (1) the sampler's generator
    gate: I64  # (GATE_WORDS) where the cores meet


class Transcript(NamedTuple):
    """The parts of the state a storyteller reads and writes."""

    tokens: I64
    rng: U64
    logits: F32  # (vocab_size) of the last token read


@kernel
def read_config(header: I64) -> Config:
    """The sizes a header holds."""
    n_heads = header[layout.N_HEADS]
    n_kv_heads = header[layout.N_KV_HEADS]
    head_dim = header[layout.HEAD_DIM]
    return Config(
        header[layout.DIM], header[layout.HIDDEN_DIM], header[layout.N_LAYERS], n_heads, n_kv_heads, head_dim,
        n_heads * head_dim, n_kv_heads * head_dim, header[layout.VOCAB_SIZE], header[layout.SEQ_LEN],
        header[layout.BATCH], float_of_bits(header[layout.NORM_EPS_BITS]),
        header[layout.KV_KIND])


@kernel
def bind_weights(header: I64, sections: tuple[U8, ...]) -> Weights:
    """Views of the sections as weights; an absent classifier is the embedding."""
    c = read_config(header)
    dim = padded(c.dim, BLOCK)
    embedding = bind_matrix(header, layout.EMBEDDING, sections[layout.EMBEDDING])
    classifier = embedding
    if header[layout.SECTION_TABLE + layout.CLASSIFIER * layout.SECTION_WORDS + layout.BYTES] > 0:
        classifier = bind_matrix(header, layout.CLASSIFIER, sections[layout.CLASSIFIER])
    return Weights(
        f32_array(sections[layout.ROPE], 0, c.seq_len * c.head_dim),
        f32_array(sections[layout.ATTENTION_NORM], 0, (c.n_layers, dim)),
        f32_array(sections[layout.FFN_NORM], 0, (c.n_layers, dim)),
        f32_array(sections[layout.FINAL_NORM], 0, (1, dim)),
        embedding,
        bind_matrix(header, layout.WQKV, sections[layout.WQKV]),
        bind_matrix(header, layout.WO, sections[layout.WO]),
        bind_matrix(header, layout.W13, sections[layout.W13]),
        bind_matrix(header, layout.W2, sections[layout.W2]),
        classifier)


@kernel
def bind_matrix(header: I64, section: int, data: U8) -> Matrix:
    """One section as a matrix."""
    at = layout.SECTION_TABLE + section * layout.SECTION_WORDS
    return Matrix(header[at + layout.KIND], header[at + layout.ROWS], header[at + layout.COLS],
                  header[at + layout.LAYER_BYTES], data)


@kernel
def activations_bytes(batch: int, dim: int) -> int:
    """The size of Activations: float32 and int8 values, two scales and a sum for each block."""
    wide = padded(dim, BLOCK)
    return batch * (5 * wide + 12 * (wide // BLOCK))


@kernel
def bind_activations(block: U8, at: int, batch: int, dim: int) -> Activations:
    """Activations at byte `at` of a block."""
    wide = padded(dim, BLOCK)
    n_blocks = wide // BLOCK
    scales = at + 4 * batch * wide
    sums = scales + 8 * batch * n_blocks
    return Activations(
        f32_array(block, at, (batch, wide)),
        i8_array(block, sums + 4 * batch * n_blocks, (batch, wide)),
        f32_array(block, scales, (batch, 2 * n_blocks)),
        f32_array(block, sums, (batch, n_blocks)))


@kernel
def state_plan(c: Config, max_cores: int) -> tuple[int, ...]:
    """Byte offsets of the parts of the state, in the order of `State`, and last its size."""
    dim = padded(c.dim, BLOCK)
    seq = padded(c.seq_len)
    vocab = padded(c.vocab_size)
    x = 0
    xn = x + 4 * c.batch * dim
    added = xn + padded(activations_bytes(c.batch, c.dim), 64)
    qkv = added + 4 * c.batch * dim
    attended = qkv + 4 * c.batch * padded(c.q_dim + 2 * c.kv_dim)
    h13 = attended + padded(activations_bytes(c.batch, c.q_dim), 64)
    h = h13 + 8 * c.batch * padded(c.hidden_dim)
    logits = h + padded(activations_bytes(c.batch, c.hidden_dim), 64)
    scores = logits + 4 * vocab
    out = scores + 4 * max_cores * seq
    keys = out + 4 * max_cores * padded(c.head_dim)
    heads = c.n_layers * c.n_kv_heads
    values = keys + heads * item_bytes(c.kv_kind) * seq * c.head_dim
    key_scales = values + heads * item_bytes(c.kv_kind) * seq * padded(c.head_dim)
    value_scales = key_scales + 4 * heads * scales_of(c)
    order = value_scales + 4 * heads * scales_of(c)
    tokens = order + 4 * vocab
    rng = tokens + 8 * (seq + LANES)
    gate = rng + 64
    end = gate + 8 * GATE_WORDS
    return (x, xn, added, qkv, attended, h13, h, logits, scores, out, keys, values, key_scales, value_scales, order,
            tokens, rng, gate, end)


@kernel
def scales_of(c: Config) -> int:
    """Scales a head's cache has for its keys, and as many for its values."""
    if c.kv_kind == layout.KV_Q8:
        return padded(c.seq_len)
    return 0


@kernel
def state_bytes(header: I64) -> int:
    """The size of the state, in whole pages."""
    return padded(state_plan(read_config(header), header[layout.MAX_CORES])[18], layout.PAGE)


@kernel
def bind_state(header: I64, block: U8) -> State:
    """Views of one zeroed block of `state_bytes` as a state."""
    c = read_config(header)
    cores = header[layout.MAX_CORES]
    seq = padded(c.seq_len)
    p = state_plan(c, cores)
    return State(
        f32_array(block, p[0], (c.batch, padded(c.dim, BLOCK))),
        bind_activations(block, p[1], c.batch, c.dim),
        f32_array(block, p[2], (c.batch, padded(c.dim, BLOCK))),
        f32_array(block, p[3], (c.batch, padded(c.q_dim + 2 * c.kv_dim))),
        bind_activations(block, p[4], c.batch, c.q_dim),
        f32_array(block, p[5], (c.batch, 2 * padded(c.hidden_dim))),
        bind_activations(block, p[6], c.batch, c.hidden_dim),
        f32_array(block, p[7], (1, padded(c.vocab_size))),
        f32_array(block, p[8], (cores, seq)),
        f32_array(block, p[9], (cores, padded(c.head_dim))),
        u8_array(block, p[10], (c.n_layers, c.n_kv_heads, item_bytes(c.kv_kind) * seq * c.head_dim)),
        u8_array(block, p[11], (c.n_layers, c.n_kv_heads, item_bytes(c.kv_kind) * seq * padded(c.head_dim))),
        f32_array(block, p[12], (c.n_layers, c.n_kv_heads, scales_of(c))),
        f32_array(block, p[13], (c.n_layers, c.n_kv_heads, scales_of(c))),
        i32_array(block, p[14], padded(c.vocab_size)),
        i64_array(block, p[15], c.seq_len + 1),
        u64_array(block, p[16], 1),
        i64_array(block, p[17], GATE_WORDS))


@kernel
def bind_transcript(header: I64, block: U8) -> Transcript:
    """The same block's transcript."""
    c = read_config(header)
    p = state_plan(c, header[layout.MAX_CORES])
    return Transcript(i64_array(block, p[15], c.seq_len + 1), u64_array(block, p[16], 1),
                      f32_array(block, p[7], c.vocab_size))


@kernel
def cache_part(header: I64, part: int, n: int) -> tuple[int, int, int]:
    """Keys, values, the scales of keys, those of values (part 0 to 3), as bytes of the state.

    Where the first head's begin, how far one head's are from the next one's (all heads of a layer, layer after layer),
    and how many bytes of each hold the first n positions.
    """
    c = read_config(header)
    p = state_plan(c, header[layout.MAX_CORES])
    size = item_bytes(c.kv_kind)
    seq = padded(c.seq_len)
    if part == 0:
        return p[10], size * seq * c.head_dim, size * padded(n) * c.head_dim
    if part == 1:
        return p[11], size * seq * padded(c.head_dim), size * padded(n) * padded(c.head_dim)
    if part == 2:
        return p[12], 4 * scales_of(c), 4 * min(padded(n), scales_of(c))
    return p[13], 4 * scales_of(c), 4 * min(padded(n), scales_of(c))
