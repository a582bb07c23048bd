"""What a forward pass is given: the sizes, the weights, and the state, as views of memory (`contract.layout`)."""

from typing import NamedTuple

from barelm.contract import layout, sections
from barelm.contract.layout import Header, TensorEntry
from barelm.dialect.memory import f32_array, i8_array, i32_array, i64_array, load_i64, memory, u8_array, u64_array
from barelm.dialect.types import BLOCK, F32, F32_2D, I32, I64, I64_2D, LANES, U8, U64, Real, padded
from barelm.kernels.cache import item_bytes
from barelm.kernels.encodings.activations import Activations
from barelm.kernels.matrices import Matrix
from barelm.kernels.team import GATE_WORDS

DIRECTORY = Header.offset_of("tensors")


class Config(NamedTuple):
    """The sizes of a model, and its traits."""

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
    rotary: int  # which components of a head turn together
    rope_dim: int  # how many of them turn
    gate_rows: int  # 0 where nothing gates the feed-forward network
    n_experts: int  # 0 where there is one feed-forward network for all
    n_experts_used: int
    query_norm_dim: int  # components that are normalised together: a head's, or all
    key_norm_dim: int
    norm: int
    activation: int
    attention_scale: Real
    attention_cap: Real  # 0: none
    embedding_scale: Real
    residual_scale: Real
    logit_scale: Real
    logit_cap: Real
    n_windowed: int  # layers that keep only
    window_room: int  # so many positions


class Weights(NamedTuple):
    """What was learnt.  Norms are padded with zeros to whole blocks."""

    rope: F32  # (seq_len, rope_dim / 2, 2)
    local_rope: F32
    layers: I32  # (layer, LAYER_WORDS)
    attention_norm: F32_2D  # (layer, dim); this and what may be absent has no rows then
    ffn_norm: F32_2D  # (layer, dim)
    norm: F32_2D  # (1, dim)
    embedding: Matrix  # (vocab_size, dim)
    wqkv: Matrix  # (layer, q_dim + 2 kv_dim, dim)
    wo: Matrix  # (layer, dim, q_dim)
    w13: Matrix  # (layer, 2 hidden_dim, dim), w1 above w3, each of all experts
    w2: Matrix  # (layer, dim, hidden_dim)
    classifier: Matrix  # (vocab_size, dim)
    bqkv: F32_2D  # (layer, q_dim + 2 kv_dim)
    query_norm: F32_2D  # (layer, query_norm_dim)
    key_norm: F32_2D  # (layer, key_norm_dim)
    attention_post_norm: F32_2D  # (layer, dim)
    ffn_post_norm: F32_2D
    bo: F32_2D  # (layer, dim)
    b13: F32_2D  # (layer, gate_rows + up_rows)
    b2: F32_2D  # (layer, down_rows)
    attention_shift: F32_2D  # (layer, dim)
    ffn_shift: F32_2D
    final_shift: F32_2D  # (1, dim)
    sinks: F32_2D  # (layer, n_heads)
    router: Matrix  # (layer, n_experts, dim)
    router_bias: F32_2D  # (layer, n_experts)
    positions: Matrix  # (n_positions, dim)


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
    logits: F32_2D  # (1, vocab_size)
    scores: F32_2D  # (core, seq_len)
    out: F32_2D  # (core, head_dim)
    keys: U8  # of every key head of every layer: see `room_of` and `kernels.cache`
    values: U8
    key_scales: F32  # of int8 keys, one a position
    value_scales: F32
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
    scores: Part
    out: Part
    keys: Part
    values: Part
    key_scales: Part
    value_scales: Part
    order: Part
    tokens: Part
    rng: Part
    gate: Part


class SessionTranscript(NamedTuple):
    """The parts of the state that whoever leads a session reads and writes."""

    tokens: I64
    rng: U64
    logits: F32  # (vocab_size) of the last token read


def read_config(header: Header) -> Config:
    """The sizes a header holds."""
    return Config(
        header.dim, header.hidden_dim, header.n_layers, header.n_heads, header.n_kv_heads, header.head_dim,
        header.q_dim, header.kv_dim, header.vocab_size, header.seq_len, header.batch, header.norm_eps, header.kv_kind,
        header.rotary, header.rope_dim, header.gate_rows, header.n_experts, header.n_experts_used,
        header.query_norm_dim, header.key_norm_dim, header.norm, header.activation, header.attention_scale,
        header.attention_cap, header.embedding_scale, header.residual_scale, header.logit_scale, header.logit_cap,
        header.n_windowed, header.window_room)


def size_of(header: Header, code: int) -> int:
    """A size of a row of `contract.sections`."""
    if code < 0:
        return -1 - code
    return load_i64(header.address + code)


def part_rows(header: Header, number: int, part: int) -> int:
    """Rows of a part of a section in one layer, padded."""
    rows = size_of(header, sections.PARTS[sections.MOST_PARTS * number + part])
    return padded(rows, sections.PART_LANES[number])


def section_rows(header: Header, number: int) -> int:
    """Rows of one layer of a section, padded."""
    rows = 0
    for part in range(sections.MOST_PARTS):
        rows += part_rows(header, number, part)
    return padded(rows, sections.ROW_LANES[number])


def first_tensor(header: Header, number: int) -> int:
    """How many tensors the directory has before those of a section."""
    count = 0
    for k in range(number):
        if sections.IS_MATRIX[k]:
            count += section_layers(header, k) * sections.N_PARTS[k]
    return count


def section_layers(header: Header, number: int) -> int:
    """How many times a section holds its rows: once, or for every layer."""
    if sections.PER_LAYER[number]:
        return header.n_layers
    return 1


def section(header: Header, addresses: I64, number: int) -> U8:
    """A section as bytes: the header knows its size, `addresses` (one a section) where it was put."""
    return memory(addresses[number], header.sections[number].n_bytes)


def bind_weights(header: Header, addresses: I64) -> Weights:
    """Views of the sections as weights; an absent classifier is the embedding."""
    classifier = sections.CLASSIFIER
    if header.sections[classifier].n_bytes == 0:
        classifier = sections.EMBEDDING
    return Weights(
        bind_floats(header, addresses, sections.ROPE),
        bind_floats(header, addresses, sections.LOCAL_ROPE),
        layers_of(header, addresses),
        bind_vectors(header, addresses, sections.ATTENTION_NORM),
        bind_vectors(header, addresses, sections.FFN_NORM),
        bind_vectors(header, addresses, sections.FINAL_NORM),
        bind_matrix(header, addresses, sections.EMBEDDING),
        bind_matrix(header, addresses, sections.WQKV),
        bind_matrix(header, addresses, sections.WO),
        bind_experts(header, addresses, sections.W13),
        bind_experts(header, addresses, sections.W2),
        bind_matrix(header, addresses, classifier),
        bind_vectors(header, addresses, sections.BQKV),
        bind_vectors(header, addresses, sections.QUERY_NORM),
        bind_vectors(header, addresses, sections.KEY_NORM),
        bind_vectors(header, addresses, sections.ATTENTION_POST_NORM),
        bind_vectors(header, addresses, sections.FFN_POST_NORM),
        bind_vectors(header, addresses, sections.BO),
        bind_vectors(header, addresses, sections.B13),
        bind_vectors(header, addresses, sections.B2),
        bind_vectors(header, addresses, sections.ATTENTION_SHIFT),
        bind_vectors(header, addresses, sections.FFN_SHIFT),
        bind_vectors(header, addresses, sections.FINAL_SHIFT),
        bind_vectors(header, addresses, sections.SINKS),
        bind_matrix(header, addresses, sections.ROUTER),
        bind_vectors(header, addresses, sections.ROUTER_BIAS),
        bind_matrix(header, addresses, sections.POSITIONS))


def layers_of(header: Header, addresses: I64) -> I32:
    """The words of every layer."""
    return i32_array(section(header, addresses, sections.LAYERS), 0, header.n_layers * layout.LAYER_WORDS)


def bind_floats(header: Header, addresses: I64, number: int) -> F32:
    """One section as float32."""
    data = section(header, addresses, number)
    return f32_array(data, 0, len(data) // 4)


def bind_vectors(header: Header, addresses: I64, number: int) -> F32_2D:
    """One section as vectors, a row for each layer; no rows where it is absent."""
    data = section(header, addresses, number)
    rows = section_layers(header, number)
    if len(data) == 0:
        rows = 0
    return f32_array(data, 0, (rows, header.sections[number].rows))


def bind_matrix(header: Header, addresses: I64, number: int) -> Matrix:
    """One section as a matrix."""
    entry = header.sections[number]
    directory = header.address + DIRECTORY + first_tensor(header, number) * TensorEntry.BYTES
    return Matrix(directory, sections.N_PARTS[number], 1, entry.rows, entry.cols,
                  section(header, addresses, number))


def bind_experts(header: Header, addresses: I64, number: int) -> Matrix:
    """One section as the matrices of all experts; of the only feed-forward network where there are none."""
    w = bind_matrix(header, addresses, number)
    experts = max(header.n_experts, 1)
    return Matrix(w.directory, w.n_parts, experts, w.rows // experts, w.cols, w.data)


def part(at: int, rows: int, cols: int, item_bytes: int) -> Part:
    """A part of the state from byte `at` on."""
    return Part(at, rows, cols, at + rows * cols * item_bytes)


def activations_part(at: int, batch: int, dim: int) -> Part:
    """The same for Activations: float32 and int8 values, two scales and a sum for each block."""
    wide = padded(dim, BLOCK)
    return Part(at, batch, wide, at + padded(batch * (5 * wide + 12 * (wide // BLOCK)), 64))


def state_plan(c: Config, max_cores: int) -> StatePlan:
    """Where the parts of the state lie; its size is the end of the last."""
    seq = padded(c.seq_len)
    kept = positions_kept(c)
    scales = kept if c.kv_kind == layout.KV_Q8 else 0
    size = item_bytes(c.kv_kind)
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
    logits = part(answers.end, 1, padded(c.vocab_size), 4)
    scores = part(logits.end, max_cores, seq, 4)
    out = part(scores.end, max_cores, padded(c.head_dim), 4)
    keys = part(out.end, kept, size * c.head_dim, 1)
    values = part(keys.end, kept, size * padded(c.head_dim), 1)
    key_scales = part(values.end, 1, scales, 4)
    value_scales = part(key_scales.end, 1, scales, 4)
    order = part(value_scales.end, 1, padded(c.vocab_size), 4)
    tokens = part(order.end, 1, seq + LANES, 8)
    rng = part(tokens.end, 1, 8, 8)
    gate = part(rng.end, 1, GATE_WORDS, 8)
    return StatePlan(x, xn, added, qkv, attended, h13, h, routes, chosen, shares, answers, logits, scores, out, keys,
                     values, key_scales, value_scales, order, tokens, rng, gate)


def positions_kept(c: Config) -> int:
    """Positions that all key heads of all layers keep."""
    return c.n_kv_heads * ((c.n_layers - c.n_windowed) * padded(c.seq_len) + c.n_windowed * c.window_room)


def room_of(c: Config, layers: I32, l: int, g: int) -> tuple[int, int]:
    """How many positions key head g of a layer keeps, and how many all heads before it do."""
    whole = padded(c.seq_len)
    room = whole
    if c.window_room == 0:
        return room, (l * c.n_kv_heads + g) * room
    if layers[l * layout.LAYER_WORDS + layout.WINDOW] > 0:
        room = c.window_room
    before = layers[l * layout.LAYER_WORDS + layout.WINDOWED_BEFORE]
    return room, c.n_kv_heads * ((l - before) * whole + before * c.window_room) + g * room


def state_bytes(header: Header) -> int:
    """The size of the state, in whole pages."""
    return padded(state_plan(read_config(header), header.max_cores).gate.end, layout.PAGE)


def floats(block: U8, p: Part) -> F32_2D:
    """A part of the state as float32."""
    return f32_array(block, p.at, (p.rows, p.cols))


def activations(block: U8, p: Part) -> Activations:
    """A part of the state as Activations."""
    n_blocks = p.cols // BLOCK
    scales = p.at + 4 * p.rows * p.cols
    sums = scales + 8 * p.rows * n_blocks
    return Activations(
        f32_array(block, p.at, (p.rows, p.cols)),
        i8_array(block, sums + 4 * p.rows * n_blocks, (p.rows, p.cols)),
        f32_array(block, scales, (p.rows, 2 * n_blocks)),
        f32_array(block, sums, (p.rows, n_blocks)))


def bind_state(header: Header, block: U8) -> State:
    """Views of one zeroed block of `state_bytes` as a state."""
    c = read_config(header)
    p = state_plan(c, header.max_cores)
    return State(
        floats(block, p.x), activations(block, p.xn), floats(block, p.added), floats(block, p.qkv),
        activations(block, p.attended), floats(block, p.h13), activations(block, p.h), floats(block, p.routes),
        i64_array(block, p.chosen.at, (p.chosen.rows, p.chosen.cols)), floats(block, p.shares),
        floats(block, p.answers), floats(block, p.logits),
        floats(block, p.scores), floats(block, p.out),
        u8_array(block, p.keys.at, p.keys.rows * p.keys.cols),
        u8_array(block, p.values.at, p.values.rows * p.values.cols),
        f32_array(block, p.key_scales.at, p.key_scales.cols), f32_array(block, p.value_scales.at, p.value_scales.cols),
        i32_array(block, p.order.at, p.order.cols), i64_array(block, p.tokens.at, c.seq_len + 1),
        u64_array(block, p.rng.at, 1), i64_array(block, p.gate.at, GATE_WORDS))


def bind_transcript(header: Header, block: U8) -> SessionTranscript:
    """The same block's transcript."""
    c = read_config(header)
    p = state_plan(c, header.max_cores)
    return SessionTranscript(i64_array(block, p.tokens.at, c.seq_len + 1), u64_array(block, p.rng.at, 1),
                             f32_array(block, p.logits.at, c.vocab_size))


def cache_part(header: Header, layers: I32, number: int, head: int, n: int) -> tuple[int, int]:
    """Keys, values, the scales of keys, those of values (number 0 to 3) of a key head, counted through all layers.

    Where they begin in the state, and how many bytes of it hold the first n positions, or what is kept of them.
    """
    c = read_config(header)
    p = state_plan(c, header.max_cores)
    size = item_bytes(c.kv_kind)
    room, before = room_of(c, layers, head // c.n_kv_heads, head % c.n_kv_heads)
    kept = min(padded(n), room)
    if number == 0:
        return p.keys.at + before * size * c.head_dim, kept * size * c.head_dim
    if number == 1:
        return p.values.at + before * size * padded(c.head_dim), kept * size * padded(c.head_dim)
    scales = p.key_scales if number == 2 else p.value_scales
    return scales.at + 4 * min(before, scales.cols), 4 * min(kept, scales.cols)
