"""What changes while a model runs: activations, the key-value cache, the session, as views of one block of memory."""

from typing import NamedTuple

from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.dialect.memory import f32_array, i32_array, i64_array, u8_array, u64_array
from barelm.dialect.types import BLOCK, F32, F32_2D, I32, I64, I64_2D, LANES, U8, U64, padded
from barelm.kernels.decoder.cache_plan import cache_bytes, part_of_cache
from barelm.kernels.decoder.model import Config, read_config
from barelm.kernels.encodings.activations import HALF_BYTES, Activations
from barelm.kernels.team import GATE_WORDS


class State(NamedTuple):
    """What changes while the model runs: activations of a batch of tokens, the key-value cache, the session."""

    x: F32_2D  # (batch, dim) the residual stream
    xn: Activations  # (batch, dim) x, normalised
    added: F32_2D  # (batch, dim) what a block adds to x
    qkv: F32_2D  # (batch, q_dim + 2 kv_dim, each padded)
    attended: Activations  # (batch, q_dim)
    h13: F32_2D  # (batch, 2 hidden_dim)
    h: Activations  # (batch, hidden_dim), or a row for each expert that a token uses
    routes: F32_2D  # (batch, n_experts) what the router says
    chosen: I64_2D  # (batch, n_experts_used) the experts of each token, the best first
    shares: F32_2D  # (batch, n_experts_used) of each in the sum
    answers: F32_2D  # (n_experts_used, dim) what each adds
    logits: F32_2D  # (LOGIT_ROWS or batch, vocab_size) of the last tokens read
    queries: F32_2D  # (4 core, head_dim) of a key head, see `attention`
    scores: F32_2D  # (4 core, seq_len)
    out: F32_2D  # (4 core, head_dim)
    cache: U8  # keys and values of the session: see `kernels.decoder.cache_plan`
    order: I32  # (vocab_size) the sampler's heap
    tokens: I64  # (seq_len + 1) the ids of the session, prompt first
    rng: U64  # (1) the sampler's generator
    gate: I64  # (GATE_WORDS) where the cores meet


class Part(NamedTuple):
    """Where in the state a part of it lies: rows and columns, from one byte up to another."""

    at: int
    rows: int
    cols: int
    end: int


class StatePlan(NamedTuple):
    """The parts of the state, as they follow one another; see `State` for what each holds."""

    x: Part
    xn: Part
    added: Part
    qkv: Part
    attended: Part
    h13: Part
    h: Part
    routes: Part
    chosen: Part
    shares: Part
    answers: Part
    logits: Part
    queries: Part
    scores: Part
    out: Part
    cache: Part
    order: Part
    tokens: Part
    rng: Part
    gate: Part


class SessionTranscript(NamedTuple):
    """The parts of the state that whoever leads a session reads and writes."""

    tokens: I64
    rng: U64
    logits: F32  # (vocab_size) of the last token read, where it was read alone


def part(at: int, rows: int, cols: int, item_bytes: int) -> Part:
    """A part of the state from byte `at` on."""
    return Part(at, rows, cols, at + rows * cols * item_bytes)


def activations_part(at: int, batch: int, dim: int) -> Part:
    """The same for Activations: float32 values, and their halves as int8."""
    wide = padded(dim, BLOCK)
    return Part(at, batch, wide, at + padded(batch * (4 * wide + HALF_BYTES * (wide // LANES)), 64))


def state_plan(c: Config, max_cores: int) -> StatePlan:
    """Where the parts of the state lie; its size is the end of the last."""
    seq = padded(c.seq_len)
    x = part(0, c.batch, padded(c.dim, BLOCK), 4)
    xn = activations_part(x.end, c.batch, c.dim)
    added = part(xn.end, c.batch, padded(c.dim, BLOCK), 4)
    qkv = part(added.end, c.batch, padded(c.q_dim) + 2 * padded(c.kv_dim), 4)
    attended = activations_part(qkv.end, c.batch, c.q_dim)
    h13 = part(attended.end, c.batch, 2 * padded(c.hidden_dim), 4)
    h = activations_part(h13.end, c.batch, c.hidden_dim)
    n_routed = min(c.n_experts, 1) * c.batch
    used = padded(c.n_experts_used)
    routes = part(h.end, n_routed, padded(c.n_experts), 4)
    chosen = part(routes.end, n_routed, used, 8)
    shares = part(chosen.end, n_routed, used, 4)
    answers = part(shares.end, used, padded(c.dim, BLOCK), 4)
    logits = part(answers.end, min(c.batch, layout.LOGIT_ROWS), padded(c.vocab_size), 4)
    queries = part(logits.end, 4 * max_cores, padded(c.head_dim), 4)
    scores = part(queries.end, 4 * max_cores, seq, 4)
    out = part(scores.end, 4 * max_cores, padded(c.head_dim), 4)
    cache = part(out.end, 1, cache_bytes(c, c.seq_len), 1)
    order = part(cache.end, 1, padded(c.vocab_size), 4)
    tokens = part(order.end, 1, seq + LANES, 8)
    rng = part(tokens.end, 1, 8, 8)
    gate = part(rng.end, 1, GATE_WORDS, 8)
    return StatePlan(x, xn, added, qkv, attended, h13, h, routes, chosen, shares, answers, logits, queries, scores, out,
                     cache, order, tokens, rng, gate)


def state_bytes(header: Header) -> int:
    """The size of the state, in whole pages."""
    return padded(state_plan(read_config(header), header.max_cores).gate.end, layout.PAGE)


def floats(block: U8, p: Part) -> F32_2D:
    """A part of the state as float32."""
    return f32_array(block, p.at, (p.rows, p.cols))


def activations(block: U8, p: Part) -> Activations:
    """A part of the state as Activations."""
    halves = p.at + 4 * p.rows * p.cols
    return Activations(floats(block, p), u8_array(block, halves, (p.rows, HALF_BYTES * (p.cols // LANES))))


def bind_state(header: Header, block: U8) -> State:
    """Views of one zeroed block of `state_bytes` as a state."""
    c = read_config(header)
    p = state_plan(c, header.max_cores)
    return State(
        floats(block, p.x), activations(block, p.xn), floats(block, p.added), floats(block, p.qkv),
        activations(block, p.attended), floats(block, p.h13), activations(block, p.h), floats(block, p.routes),
        i64_array(block, p.chosen.at, (p.chosen.rows, p.chosen.cols)), floats(block, p.shares),
        floats(block, p.answers), floats(block, p.logits), floats(block, p.queries), floats(block, p.scores),
        floats(block, p.out),
        u8_array(block, p.cache.at, p.cache.cols),
        i32_array(block, p.order.at, p.order.cols), i64_array(block, p.tokens.at, c.seq_len + 1),
        u64_array(block, p.rng.at, 1), i64_array(block, p.gate.at, GATE_WORDS))


def bind_transcript(header: Header, block: U8) -> SessionTranscript:
    """The same block's transcript."""
    c = read_config(header)
    p = state_plan(c, header.max_cores)
    return SessionTranscript(i64_array(block, p.tokens.at, c.seq_len + 1), u64_array(block, p.rng.at, 1),
                             f32_array(block, p.logits.at, c.vocab_size))


def bind_logits(header: Header, block: U8, row: int) -> F32:
    """The logits of a row, of the same block."""
    p = state_plan(read_config(header), header.max_cores)
    return f32_array(block, p.logits.at + 4 * row * p.logits.cols, header.vocab_size)


def session_cache(header: Header) -> int:
    """Where in the block keys and values of the session lie."""
    return state_plan(read_config(header), header.max_cores).cache.at


def cache_part(header: Header, layers: I32, number: int, head: int, n: int) -> tuple[int, int]:
    """Keys, values, the scales of keys, those of values (number 0 to 3) of a key head, counted through all layers.

    Where they begin in the state, and how many bytes of it hold the first n positions, or what is kept of them.
    """
    c = read_config(header)
    at, n_bytes = part_of_cache(c, layers, c.seq_len, number, head, n)
    return state_plan(c, header.max_cores).cache.at + at, n_bytes
