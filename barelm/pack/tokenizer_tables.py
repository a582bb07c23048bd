"""A vocabulary as the sorted tables `kernels.text.tokenizer` searches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Vocab
from barelm.contract import layout, sections
from barelm.contract.layout import Header, SpecialToken
from barelm.errors import BarelmError
from barelm.pack.categories import category_table
from barelm.pack.chat_cutting import Chat
from barelm.pack.chat_pieces import chat_of, chat_section, describe_chat, stop_ids

KEEPS_WHOLE_WORDS = ("llama-bpe",)
"""Pre-tokenizers whose words, where they are tokens, are taken as they are (`ignore_merges`)."""

# A special token of one byte says no more than the token of that byte; without it ids are never more than bytes.
SHORTEST_SPECIAL = 2


@dataclass(frozen=True)
class TokenizerTables:
    """The arrays behind the tokenizer's sections, by the numbers of `contract.sections`, and what they came from."""

    sections: dict[int, NDArray[Any]]
    n_specials: int
    chat: Chat | str


def tokenizer_tables(vocab: Vocab) -> TokenizerTables:
    """Lay a vocabulary out for searching.  Raises BarelmError where its parts do not fit together."""
    if vocab.kind == "bytelevel" and vocab.pretokenizer not in layout.PRETOKENIZERS[1:]:
        raise BarelmError(f"the tokenizer cuts text into words by a rule barelm does not know: {vocab.pretokenizer!r}",
                          f"Known are {', '.join(layout.PRETOKENIZERS[1:])}.")
    chat = chat_of(vocab)
    specials = sorted_specials(vocab)
    needs_categories = vocab.kind == "bytelevel" or isinstance(chat, Chat)
    return TokenizerTables({
        sections.PIECES: np.frombuffer(b"".join(vocab.outputs), np.uint8),
        sections.PIECE_ENDS: np.cumsum([len(piece) for piece in vocab.outputs], dtype=np.int64).astype(np.int32),
        sections.CHARS: _characters(vocab),
        sections.BYTE_TOKENS: np.array(vocab.byte_ids, np.int32),
        sections.MERGES: _merges(vocab),
        sections.CATEGORIES: category_table() if needs_categories else np.zeros(0, np.int32),
        sections.WORDS: _words(vocab),
        sections.SPECIALS: _special_section(specials),
        sections.CHAT: chat_section(chat),
    }, len(specials), chat)


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
        header.pretokenizer = layout.PRETOKENIZERS.index(vocab.pretokenizer)
    header.n_categories = len(tables.sections[sections.CATEGORIES])
    header.n_words = len(tables.sections[sections.WORDS])
    header.n_specials = tables.n_specials
    describe_chat(header, tables.chat)


def _ordinary(vocab: Vocab) -> Iterable[tuple[int, bytes]]:
    """The tokens text may turn into without being asked: all but the special ones."""
    special = set(vocab.special.values())
    return ((token, piece) for token, piece in enumerate(vocab.pieces) if token not in special)


def _characters(vocab: Vocab) -> NDArray[np.int64]:
    """Every piece that is one character: its UTF-8 as a big-endian number, its token; the first of equal pieces."""
    table: dict[int, int] = {}
    for token, piece in () if vocab.kind == "bytelevel" else _ordinary(vocab):
        if 0 < len(piece) <= 4 and all(byte & 0xC0 == 0x80 for byte in piece[1:]):
            table.setdefault(int.from_bytes(piece, "big"), token)
    return _sorted_pairs(table)


def _merges(vocab: Vocab) -> NDArray[np.int64]:
    """left << 32 | right to rank << 32 | merged for every pair of tokens that merges."""
    table: dict[int, int] = {}
    for left, right, rank, merged in _listed_merges(vocab) if vocab.kind == "bytelevel" else _score_merges(vocab):
        table.setdefault(left << 32 | right, rank << 32 | merged)
    return _sorted_pairs(table)


def _first_ids(vocab: Vocab) -> dict[bytes, int]:
    ids: dict[bytes, int] = {}
    for token, piece in _ordinary(vocab):
        ids.setdefault(piece, token)
    return ids


def _listed_merges(vocab: Vocab) -> Iterator[tuple[int, int, int, int]]:
    """Byte-level BPE: the pairs listed, the earlier first."""
    ids = _first_ids(vocab)
    for rank, (left, right) in enumerate(vocab.merges):
        merged = ids.get(vocab.pieces[left] + vocab.pieces[right])
        if merged is None:
            raise BarelmError(f"merge {rank} of the tokenizer makes {vocab.pieces[left] + vocab.pieces[right]!r}, "
                              "which is no token", "Was the file converted completely?")
        yield left, right, rank, merged


def _score_merges(vocab: Vocab) -> Iterator[tuple[int, int, int, int]]:
    """SentencePiece: any two pieces whose concatenation is a piece merge, a higher score first, equals together."""
    ids = _first_ids(vocab)
    ranks = {score: rank for rank, score in enumerate(sorted(set(vocab.scores), reverse=True))}
    for piece, merged in ids.items():
        rank = ranks[vocab.scores[merged]]
        for cut in range(1, len(piece)):
            left, right = ids.get(piece[:cut]), ids.get(piece[cut:])
            if left is not None and right is not None:
                yield left, right, rank, merged


def _words(vocab: Vocab) -> NDArray[np.int32]:
    """Ids in the order of their bytes, the first of equal pieces; none unless words are looked up whole."""
    if vocab.kind != "bytelevel" or vocab.pretokenizer not in KEEPS_WHOLE_WORDS:
        return np.zeros(0, np.int32)
    ids = {piece: token for piece, token in _first_ids(vocab).items() if vocab.outputs[token] == piece}
    return np.array([ids[piece] for piece in sorted(ids)], np.int32)


def sorted_specials(vocab: Vocab) -> list[tuple[bytes, int]]:
    """Special tokens by the first byte of their texts, those alike the longest first: the first that matches is it."""
    texts = [(text.encode(), token) for text, token in vocab.special.items()]
    return sorted(((text, token) for text, token in texts if len(text) >= SHORTEST_SPECIAL),
                  key=lambda special: (special[0][0], -len(special[0]), special[0]))


def _special_section(specials: list[tuple[bytes, int]]) -> NDArray[np.uint8]:
    directory = np.zeros((len(specials), SpecialToken.BYTES), np.uint8)
    end = directory.nbytes
    for row, (text, token) in zip(directory, specials):
        entry = SpecialToken.over(row)
        entry.begin, entry.end, entry.id = end, end + len(text), token
        end += len(text)
    return np.frombuffer(directory.tobytes() + b"".join(text for text, _ in specials), np.uint8)


def _sorted_pairs(table: dict[int, int]) -> NDArray[np.int64]:
    return np.array(sorted(table.items()), np.int64).reshape(-1)
