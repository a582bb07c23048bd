"""A vocabulary as the sorted tables `kernels.text.tokenizer` searches."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Vocab
from barelm.contract import layout, sections
from barelm.contract.layout import Header, SpecialToken
from barelm.errors import BarelmError
from barelm.pack.categories import category_table
from barelm.pack.chat.chat_cutting import Chat
from barelm.pack.chat.chat_pieces import (
    chat_of,
    chat_section,
    describe_chat,
    describe_tools,
    stop_ids,
    tools_of,
    tools_section,
)
from barelm.pack.chat.tool_pieces import Tools
from barelm.pack.word_rules import word_rule

# A special token of one byte and a space before each text beside it would be more ids than bytes.
SHORTEST_BESIDE_SPACES = 2


@dataclass(frozen=True)
class TokenizerTables:
    """The arrays behind the tokenizer's sections, by the numbers of `contract.sections`, and what they came from."""

    sections: dict[int, NDArray[Any]]
    n_specials: int
    chat: Chat | str
    tools: Tools | str


def tokenizer_tables(vocab: Vocab) -> TokenizerTables:
    """Lay a vocabulary out for searching.  Raises BarelmError where its parts do not fit together."""
    rule = word_rule(vocab.pretokenizer) if vocab.kind == "bytelevel" else None
    chat, tools = chat_of(vocab), tools_of(vocab)
    specials = sorted_specials(vocab)
    needs_categories = rule is not None or isinstance(chat, Chat)
    words = _words(vocab) if rule is None or rule.whole_words else np.zeros(0, np.int32)
    return TokenizerTables({
        sections.PIECES: np.frombuffer(b"".join(vocab.outputs), np.uint8),
        sections.PIECE_ENDS: np.cumsum([len(piece) for piece in vocab.outputs], dtype=np.int64).astype(np.int32),
        sections.CHARS: _characters(vocab),
        sections.BYTE_TOKENS: np.array(vocab.byte_ids, np.int32),
        sections.MERGES: _merges(vocab),
        sections.CATEGORIES: category_table(rule) if needs_categories else np.zeros(0, np.int32),
        sections.WORDS: words,
        sections.SPECIALS: _special_section(vocab, specials),
        sections.CHAT: chat_section(chat),
        sections.TOOL_TEXTS: tools_section(tools),
        sections.RANKS: _ranks(vocab, words) if rule is None else np.zeros(0, np.int32),
    }, len(specials), chat, tools)


def describe_tokenizer(header: Header, vocab: Vocab, tables: TokenizerTables) -> None:
    """Write the tokenizer's words of the header."""
    ends = (*stop_ids(vocab, tables.chat), *(-1,) * layout.N_EOS)[:layout.N_EOS]
    header.tokenizer_kind = layout.BYTELEVEL if vocab.kind == "bytelevel" else layout.SENTENCEPIECE
    header.bos_id = vocab.bos_id
    header.eos_ids[:] = ends
    header.add_bos = vocab.add_bos
    header.add_space = vocab.add_space_prefix
    header.max_piece_bytes = max(len(piece) for piece in vocab.outputs)
    header.n_chars = len(tables.sections[sections.CHARS]) // 2
    header.n_merges = len(tables.sections[sections.MERGES]) // 2
    if vocab.kind == "bytelevel":
        stages = word_rule(vocab.pretokenizer).stages
        header.stages[:len(stages)] = stages
    header.n_categories = len(tables.sections[sections.CATEGORIES])
    header.n_words = len(tables.sections[sections.WORDS])
    header.n_specials = tables.n_specials
    describe_chat(header, tables.chat)
    describe_tools(header, tables.tools)


def _ordinary(vocab: Vocab) -> Iterable[tuple[int, bytes]]:
    """The tokens text turns into without being one: none that print nothing, none that are looked for as a whole."""
    found = {token for _, token in sorted_specials(vocab)}
    return ((token, piece) for token, piece in enumerate(vocab.pieces) if vocab.outputs[token] and token not in found)


def _characters(vocab: Vocab) -> NDArray[np.int64]:
    """Every piece that is one character: its UTF-8 as a big-endian number, its token; the first of equal pieces."""
    table: dict[int, int] = {}
    for token, piece in () if vocab.kind == "bytelevel" else _ordinary(vocab):
        if 0 < len(piece) <= 4 and all(byte & 0xC0 == 0x80 for byte in piece[1:]):
            table.setdefault(int.from_bytes(piece, "big"), token)
    return _sorted_pairs(table)


def _merges(vocab: Vocab) -> NDArray[np.int64]:
    """Byte-level BPE: left << 32 | right to rank << 32 | merged for every pair listed, the earlier of equals."""
    ids = _first_ids(vocab) if vocab.kind == "bytelevel" else {}
    table: dict[int, int] = {}
    for rank, (left, right) in enumerate(vocab.merges if vocab.kind == "bytelevel" else ()):
        merged = ids.get(vocab.pieces[left] + vocab.pieces[right])
        if merged is None:
            raise BarelmError(f"merge {rank} of the tokenizer makes {vocab.pieces[left] + vocab.pieces[right]!r}, "
                              "which is no token", "Was the file converted completely?")
        table.setdefault(left << 32 | right, rank << 32 | merged)
    return _sorted_pairs(table)


def _first_ids(vocab: Vocab) -> dict[bytes, int]:
    ids: dict[bytes, int] = {}
    for token, piece in _ordinary(vocab):
        ids.setdefault(piece, token)
    return ids


def _words(vocab: Vocab) -> NDArray[np.int32]:
    """Ids in the order of their bytes, the first of equal pieces; only those that print what they stand for."""
    ids = {piece: token for piece, token in _first_ids(vocab).items() if vocab.outputs[token] == piece}
    return np.array([ids[piece] for piece in sorted(ids)], np.int32)


def _ranks(vocab: Vocab, words: NDArray[np.int32]) -> NDArray[np.int32]:
    """SentencePiece: when each of the words is made: a higher score first, equals together."""
    scores = np.array(vocab.scores)
    return np.unique(-scores, return_inverse=True)[1].astype(np.int32)[words]


def sorted_specials(vocab: Vocab) -> list[tuple[bytes, int]]:
    """Special tokens that are found in a text, sorted by theirs."""
    shortest = SHORTEST_BESIDE_SPACES if vocab.add_space_prefix else 1
    return sorted((text.encode(), token) for text, token in vocab.special.items() if len(text.encode()) >= shortest)


def _special_section(vocab: Vocab, specials: list[tuple[bytes, int]]) -> NDArray[np.uint8]:
    directory = np.zeros((len(specials), SpecialToken.BYTES), np.uint8)
    end = directory.nbytes
    for row, (text, token) in zip(directory, specials):
        entry = SpecialToken.over(row)
        entry.begin, entry.end, entry.id = end, end + len(text), token
        entry.traits = (layout.IN_ANY_TEXT * (token in vocab.in_any_text)
                        | layout.STRIPS_AFTER * (token in vocab.strips_after))
        end += len(text)
    return np.frombuffer(directory.tobytes() + b"".join(text for text, _ in specials), np.uint8)


def _sorted_pairs(table: dict[int, int]) -> NDArray[np.int64]:
    return np.array(sorted(table.items()), np.int64).reshape(-1)
