"""Is every table of a model such as can be?  Behind these checks none of them leads outside of another.

Constraints stand with the columns of `contract.sections`; here they are looked at, and the few between several numbers
are written down.  The same on the host and on the metal, once a model is read and its sums are right.
"""

from typing import Any

from barelm.contract import layout, sections
from barelm.contract.layout import Header, Senseless, SpecialToken
from barelm.dialect.memory import first_senseless, i32_array, i64_array
from barelm.dialect.types import I32, I64, U8
from barelm.kernels.bounds import note
from barelm.kernels.decoder.model import layers_of, section, size_of


def senseless_table(header: Header, addresses: I64, finding: Senseless) -> bool:
    """Whether a table of a model, whose header is sound, holds what cannot be: where it does is in `finding`."""
    for number in range(sections.N_SECTIONS):
        data = section(header, addresses, number)
        n_rows = size_of(header, sections.PARTS[sections.MOST_PARTS * number])
        n_columns = sections.N_COLUMNS[number]
        if len(data) > 0:
            for column in range(n_columns):
                n = n_rows * n_columns
                if sections.ITEM_BYTES[number] == 4:
                    found = senseless_column(header, i32_array(data, 0, n), number, column, finding)
                else:
                    found = senseless_column(header, i64_array(data, 0, n), number, column, finding)
                if found:
                    return True
    return senseless_texts(header, addresses, finding)


def senseless_column(header: Header, table: Any, number: int, column: int, finding: Senseless) -> bool:
    """The same of one column of a table."""
    k = number * sections.MOST_COLUMNS + column
    least = sections.COLUMN_LEAST[k]
    most = size_of(header, sections.COLUMN_MOST[k]) + sections.COLUMN_PLUS[k]
    order = sections.COLUMN_ORDER[k]
    low = (1 << sections.COLUMN_LOW_BITS[k]) - 1
    low_most = size_of(header, sections.COLUMN_LOW_MOST[k]) + sections.COLUMN_LOW_PLUS[k]
    at = first_senseless(table, column, sections.N_COLUMNS[number], least, most, order, low, low_most)
    if at < 0:
        return False
    value = int(table[at])
    note(finding, number, at, value)
    if not least <= value <= most or value & low > low_most:
        finding.least = least
        finding.most = low_most if least <= value <= most else most
    return True


def senseless_texts(header: Header, addresses: I64, finding: Senseless) -> bool:
    """Whether a text lies before the others, has no end, or is none, or a layer is not what it can be."""
    for k in range(header.n_specials):
        token = SpecialToken(addresses[sections.SPECIALS] + k * SpecialToken.BYTES)
        # One of a byte, with a space before each text beside it, would make more ids than bytes.
        if token.begin < header.n_specials * SpecialToken.BYTES or token.end - token.begin < 1 + header.add_space:
            note(finding, sections.SPECIALS, k, token.end - token.begin)
            return True
    chat = section(header, addresses, sections.CHAT)
    tools = section(header, addresses, sections.TOOL_TEXTS)
    if begins_early(chat, header.n_chat_pieces) or has_open_marks(chat, header.n_chat_pieces):
        note(finding, sections.CHAT, 0, header.n_chat_pieces)
        return True
    if begins_early(tools, header.n_tool_pieces if len(tools) > 0 else 0):
        note(finding, sections.TOOL_TEXTS, 0, header.n_tool_pieces)
        return True
    if not layers_are_sane(header, layers_of(header, addresses)):
        note(finding, sections.LAYERS, 0, 0)
        return True
    return False


def begins_early(data: U8, n: int) -> bool:
    """Whether the first of n texts lies before the end of the directory in front of them."""
    return bool(n > 0 and i32_array(data, 0, n)[0] < 4 * n)


def has_open_marks(data: U8, n: int) -> bool:
    """Whether marks of thoughts end without a zero."""
    ends: I32 = i32_array(data, 0, n)
    for k in range(layout.MARKS, n, layout.CHAT_PIECES):
        if ends[k] > ends[k - 1] and data[ends[k] - 1] != 0:
            return True
    return False


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
