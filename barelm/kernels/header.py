"""Is a header of a packed model what it claims to be?  The same checks on the host and on the metal."""

from barelm.contract import layout, sections
from barelm.contract.layout import Header, SectionEntry
from barelm.dialect.memory import load_i64, memory
from barelm.dialect.types import I32, LANES, U64, padded, u64
from barelm.kernels.checksum import extend_checksum
from barelm.kernels.decoder.model import first_tensor, part_rows, read_config, section_layers, section_rows, size_of
from barelm.kernels.decoder.state import state_bytes
from barelm.kernels.matrices import is_stored, panel_bytes

SOUND = 0
NOT_A_MODEL = 1
OTHER_VERSION = 2  # or with a section that is not known here
DAMAGED = 3
CUT_SHORT = 4

LARGEST = 1 << 24
"""No dimension of a model is above this; with it, no product below leaves 64 bits."""


def check_header(header: Header, sums: U64, file_bytes: int) -> int:
    """SOUND, or what is wrong with the header of a file of `file_bytes`; `sums` (2) is working space."""
    if header.magic != layout.MAGIC:
        return NOT_A_MODEL
    if header.version != layout.VERSION:
        return OTHER_VERSION
    if not sum_matches(header, sums) or not 0 <= header.n_sections <= layout.MOST_SECTIONS:
        return DAMAGED
    if unknown_section(header) >= 0:
        return OTHER_VERSION
    if not sizes_are_sane(header) or not sections_fit(header):
        return DAMAGED
    if file_bytes < header.file_bytes:
        return CUT_SHORT
    return SOUND


def sum_matches(header: Header, sums: U64) -> bool:
    """Whether the header's own checksum matches: the sum of all its words, those that hold it taken as zero."""
    a = header.sum_a
    b = header.sum_b
    header.sum_a = 0
    header.sum_b = 0
    sums[0] = u64(0)
    sums[1] = u64(0)
    extend_checksum(sums, memory(header.address, layout.HEADER_BYTES), layout.HEADER_BYTES)
    header.sum_a = a
    header.sum_b = b
    return bool(sums[0] == u64(a) and sums[1] == u64(b))


def unknown_section(header: Header) -> int:
    """The number of the first section that is not known here and must not be passed over, or -1."""
    for number in range(sections.N_SECTIONS, header.n_sections):
        if header.sections[number].n_bytes != 0 and header.sections[number].optional == 0:
            return number
    return -1


def sizes_are_sane(header: Header) -> bool:
    """Every size positive, below LARGEST, and in proportion; the memory announced is the memory needed."""
    for place in range(layout.FIRST_SIZE, layout.LAST_SIZE + 1, 8):
        if not 1 <= load_i64(header.address + place) <= LARGEST:
            return False
    for place in range(layout.FIRST_COUNT, layout.LAST_COUNT + 1, 8):
        if not 0 <= load_i64(header.address + place) <= LARGEST:
            return False
    c = read_config(header)
    if header.golden_n < 0 or header.golden_n > min(layout.GOLDEN_MOST, c.seq_len):
        return False
    if c.n_heads % c.n_kv_heads != 0 or c.head_dim % 2 != 0:
        return False
    if c.q_dim != c.n_heads * c.head_dim or c.kv_dim != c.n_kv_heads * c.head_dim:
        return False
    if c.batch < 1 or c.batch > c.seq_len or header.max_cores < 1 or header.max_cores > 4096:
        return False
    if c.kv_kind < 0 or c.kv_kind > layout.KV_Q8 or header.n_chat_pieces not in (0, layout.CHAT_PIECES,
                                                                                             2 * layout.CHAT_PIECES,
                                                                                             3 * layout.CHAT_PIECES):
        return False
    if header.n_tool_pieces not in (0, header.n_chat_pieces // layout.CHAT_PIECES * layout.TOOL_PIECES):
        return False
    if header.bos_id >= c.vocab_size or header.workspace_bytes != layout.WORKSPACE:
        return False
    return traits_are_sane(header) and bool(header.state_bytes == state_bytes(header))


def traits_are_sane(header: Header) -> bool:
    """Whether the words of the traits are such as the decoder computes with."""
    c = read_config(header)
    n_experts = max(c.n_experts, 1)
    if not 0 <= c.rotary <= layout.HALVES or not 0 <= c.norm <= layout.LAYER or not 0 <= c.activation <= layout.CLAMPED:
        return False
    if not 2 <= c.rope_dim <= c.head_dim or c.rope_dim % 2 != 0 or not 0 <= header.n_positions <= LARGEST:
        return False
    if not 0 <= c.n_experts_used <= c.n_experts <= LARGEST or c.n_experts_used > c.batch:
        return False
    if header.up_rows != n_experts * c.hidden_dim or header.down_rows != n_experts * c.dim:
        return False
    if header.gate_rows != 0 and header.gate_rows != header.up_rows or max(header.up_rows, header.down_rows) > LARGEST:
        return False
    # Experts lie in whole panels; what is normalised without padding is whole vectors.
    if c.n_experts > 0 and (c.hidden_dim % LANES != 0 or c.dim % LANES != 0 or c.n_experts_used < 1):
        return False
    if c.norm == layout.LAYER and c.dim % LANES != 0:
        return False
    for width, whole in ((c.query_norm_dim, c.q_dim), (c.key_norm_dim, c.kv_dim)):
        if width != 0 and (width % LANES != 0 or (width != c.head_dim and width != whole)):
            return False
    if not 0 <= c.n_windowed <= c.n_layers or not 0 <= c.window_room <= LARGEST or c.window_room % LANES != 0:
        return False
    if (c.window_room == 0) != (c.n_windowed == 0):
        return False
    return header.n_positions == 0 or header.n_positions >= c.seq_len


def layers_are_sane(header: Header, layers: I32) -> bool:
    """Whether the words of every layer, the section LAYERS, are such as the decoder computes with."""
    before = 0
    for l in range(header.n_layers):
        window = layers[l * layout.LAYER_WORDS + layout.WINDOW]
        table = layers[l * layout.LAYER_WORDS + layout.ROPE_TABLE]
        if window < 0 or table < layout.NOT_TURNED or table > layout.TURNED_LOCALLY:
            return False
        if before != layers[l * layout.LAYER_WORDS + layout.WINDOWED_BEFORE]:
            return False
        if window > 0:
            before += 1
            if header.window_room > 0 and window + header.batch > header.window_room:
                return False
        if table == layout.TURNED and header.sections[sections.ROPE].n_bytes == 0:
            return False
        if table == layout.TURNED_LOCALLY and header.sections[sections.LOCAL_ROPE].n_bytes == 0:
            return False
    return header.window_room == 0 or before == header.n_windowed


def sections_fit(header: Header) -> bool:
    """Sections follow one another inside the file, and each holds at least what its views take."""
    if first_tensor(header, sections.N_SECTIONS) > layout.MOST_TENSORS:
        return False
    end = layout.HEADER_BYTES
    for number in range(max(header.n_sections, sections.N_SECTIONS)):
        entry = header.sections[number]
        n_bytes = entry.n_bytes
        if number < header.n_sections:
            if entry.offset != end or n_bytes % 8 != 0 or n_bytes < 0 or n_bytes > header.file_bytes:
                return False
            end += padded(n_bytes, layout.PAGE)
        elif n_bytes != 0:
            return False
        if number < sections.N_SECTIONS and not holds_enough(header, entry, number):
            return False
    return bool(end == header.file_bytes)


def holds_enough(header: Header, entry: SectionEntry, number: int) -> bool:
    """Whether a section is described as its row has it, and large enough for the kernels to stay inside it."""
    if entry.n_bytes == 0 and sections.MAY_BE_ABSENT[number]:
        return True
    if entry.rows != section_rows(header, number) or entry.cols != size_of(header, sections.COLS[number]):
        return False
    if sections.IS_MATRIX[number]:
        return tensors_fit(header, entry, number)
    # Divided, for a product of all could leave 64 bits.
    return bool(entry.n_bytes // section_layers(header, number) >= layer_bytes(header, number))


def layer_bytes(header: Header, number: int) -> int:
    """The bytes of one layer of a section that is no matrix."""
    return section_rows(header, number) * size_of(header, sections.COLS[number]) * sections.ITEM_BYTES[number]


def tensors_fit(header: Header, entry: SectionEntry, number: int) -> bool:
    """Whether the tensors of a matrix follow one another inside its section, each in an encoding there is."""
    at = 0
    first = first_tensor(header, number)
    for k in range(section_layers(header, number) * sections.N_PARTS[number]):
        tensor = header.tensors[first + k]
        if tensor.rows != part_rows(header, number, k % sections.N_PARTS[number]) or tensor.offset != at:
            return False
        if not is_stored(tensor.kind, entry.cols):
            return False
        at += tensor.rows // LANES * panel_bytes(tensor.kind, entry.cols)
        if at > entry.n_bytes:
            return False
    return True
