"""Is a header of a packed model what it claims to be?  The same checks on the host and on the metal."""

from barelm.contract import layout, sections
from barelm.contract.layout import SENSELESS_WORDS, Header, SectionEntry, Senseless
from barelm.dialect.memory import address_of, cells, crc32c, memory
from barelm.dialect.types import LANES, padded
from barelm.kernels.bounds import senseless_field
from barelm.kernels.decoder.model import first_tensor, part_rows, read_config, section_layers, section_rows, size_of
from barelm.kernels.decoder.state import state_bytes
from barelm.kernels.matrices import is_stored, panel_bytes

SOUND = 0
NOT_A_MODEL = 1
OTHER_VERSION = 2  # or with a section that is not known here
DAMAGED = 3
CUT_SHORT = 4

def check_header(header: Header, file_bytes: int) -> int:
    """SOUND, or what is wrong with the header of a file of `file_bytes`."""
    if header.magic != layout.MAGIC:
        return NOT_A_MODEL
    if header.version != layout.VERSION:
        return OTHER_VERSION
    if not sum_matches(header) or not 0 <= header.n_sections <= layout.MOST_SECTIONS:
        return DAMAGED
    if unknown_section(header) >= 0:
        return OTHER_VERSION
    words = cells(SENSELESS_WORDS)
    if senseless_field(header, sections.IN_HEADER, header.address, Senseless(address_of(words))):
        return DAMAGED
    if not sizes_are_sane(header) or not sections_fit(header):
        return DAMAGED
    if file_bytes < header.file_bytes:
        return CUT_SHORT
    return SOUND


def sum_matches(header: Header) -> bool:
    """Whether the header's own checksum matches, the word that holds it taken as zero."""
    held = header.sum
    header.sum = 0
    found = crc32c(0, memory(header.address, layout.HEADER_BYTES), layout.HEADER_BYTES)
    header.sum = held
    return bool(found == held)


def unknown_section(header: Header) -> int:
    """The number of the first section that is not known here and must not be passed over, or -1."""
    for number in range(sections.N_SECTIONS, header.n_sections):
        if header.sections[number].n_bytes != 0 and header.sections[number].optional == 0:
            return number
    return -1


def sizes_are_sane(header: Header) -> bool:
    """Every size in proportion, each as it can be alone; the memory announced is the memory needed."""
    c = read_config(header)
    if c.n_heads % c.n_kv_heads != 0 or c.head_dim % 2 != 0:
        return False
    if c.q_dim != c.n_heads * c.head_dim or c.kv_dim != c.n_kv_heads * c.head_dim:
        return False
    if header.n_chat_pieces % layout.CHAT_PIECES != 0 or header.n_chat_pieces > layout.CHAT_SETS * layout.CHAT_PIECES:
        return False
    if header.n_tool_pieces not in (0, header.n_chat_pieces // layout.CHAT_PIECES * layout.TOOL_PIECES):
        return False
    if header.n_categories == 0 and (header.tokenizer_kind == layout.BYTELEVEL or header.n_chat_pieces > 0):
        return False
    # The example is computed anew as it was made: GOLDEN_MOST ids, or fewer where the context is shorter.
    if header.golden_n not in (0, min(layout.GOLDEN_MOST, c.seq_len)) or header.add_bos > header.bos_id + 1:
        return False
    if header.weights_bytes != header.file_bytes or not traits_are_sane(header):
        return False
    return bool(header.state_bytes == state_bytes(header) and header.memory_bytes
                == header.weights_bytes + header.state_bytes + header.workspace_bytes)


def traits_are_sane(header: Header) -> bool:
    """Whether the words of the traits are such as the decoder computes with."""
    c = read_config(header)
    n_experts = max(c.n_experts, 1)
    if c.rope_dim % 2 != 0 or c.n_experts_used > c.n_experts:
        return False
    if header.up_rows != n_experts * c.hidden_dim or header.down_rows != n_experts * c.dim:
        return False
    if header.gate_rows != 0 and header.gate_rows != header.up_rows:
        return False
    # Experts lie in whole panels; what is normalised without padding is whole vectors.
    if c.n_experts > 0 and (c.hidden_dim % LANES != 0 or c.dim % LANES != 0 or c.n_experts_used < 1):
        return False
    if c.norm == layout.LAYER and c.dim % LANES != 0:
        return False
    for width, whole in ((c.query_norm_dim, c.q_dim), (c.key_norm_dim, c.kv_dim)):
        if width != 0 and (width % LANES != 0 or (width != c.head_dim and width != whole)):
            return False
    if c.window_room % LANES != 0 or (c.window_room == 0) != (c.n_windowed == 0):
        return False
    return header.n_positions == 0 or header.n_positions >= c.seq_len


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
