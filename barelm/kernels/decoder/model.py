"""What a forward pass is given: the sizes and the weights, as views of memory (`contract.layout`)."""

from typing import NamedTuple

from barelm.contract import layout, sections
from barelm.contract.layout import Header, TensorEntry
from barelm.dialect.memory import f32_array, i32_array, load_i64, memory
from barelm.dialect.types import F32, F32_2D, I32, I64, U8, Real, padded
from barelm.kernels.matrices import Matrix

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
