"""A vocabulary as the sorted tables `kernels.tokenizer` searches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Vocab


@dataclass(frozen=True)
class TokenizerTables:
    """The arrays behind the sections PIECES, PIECE_ENDS, CHARS, BYTE_TOKENS and MERGES of `layout`."""

    pieces: NDArray[np.uint8]
    piece_ends: NDArray[np.int32]
    chars: NDArray[np.int64]
    byte_tokens: NDArray[np.int32]
    merges: NDArray[np.int64]


def tokenizer_tables(vocab: Vocab) -> TokenizerTables:
    """Lay a vocabulary out for searching."""
    return TokenizerTables(
        pieces=np.frombuffer(b"".join(vocab.outputs), np.uint8),
        piece_ends=np.cumsum([len(piece) for piece in vocab.outputs], dtype=np.int64).astype(np.int32),
        chars=_characters(vocab),
        byte_tokens=np.array(vocab.byte_ids, np.int32),
        merges=_merges(vocab),
    )


def _characters(vocab: Vocab) -> NDArray[np.int64]:
    """Every piece that is one character: its UTF-8 as a big-endian number, its token; the first of equal pieces."""
    table: dict[int, int] = {}
    for token, piece in enumerate(vocab.pieces):
        if 0 < len(piece) <= 4 and _is_one_character(piece):
            table.setdefault(int.from_bytes(piece, "big"), token)
    return _sorted_pairs(list(table), list(table.values()))


def _is_one_character(piece: bytes) -> bool:
    return all(byte & 0xC0 == 0x80 for byte in piece[1:])


def _merges(vocab: Vocab) -> NDArray[np.int64]:
    """left << 32 | right to rank << 32 | merged for every pair of tokens that merges."""
    if vocab.kind == "bytelevel":
        ids = {piece: token for token, piece in reversed(list(enumerate(vocab.pieces)))}
        triples = [(left, right, rank, ids[vocab.pieces[left] + vocab.pieces[right]])
                   for rank, (left, right) in enumerate(vocab.merges)]
    else:
        triples = _score_merges(vocab)
    keys: dict[int, int] = {}
    for left, right, rank, merged in triples:
        keys.setdefault(left << 32 | right, rank << 32 | merged)
    return _sorted_pairs(list(keys), list(keys.values()))


def _score_merges(vocab: Vocab) -> list[tuple[int, int, int, int]]:
    """SentencePiece: any two pieces whose concatenation is a piece merge, a higher score first, equals together."""
    ids: dict[bytes, int] = {}
    for token, piece in enumerate(vocab.pieces):
        ids.setdefault(piece, token)
    ranks = {score: rank for rank, score in enumerate(sorted(set(vocab.scores), reverse=True))}
    triples = []
    for piece, merged in ids.items():
        rank = ranks[vocab.scores[merged]]
        for cut in range(1, len(piece)):
            left, right = ids.get(piece[:cut]), ids.get(piece[cut:])
            if left is not None and right is not None:
                triples.append((left, right, rank, merged))
    return triples


def _sorted_pairs(keys: list[int], values: list[int]) -> NDArray[np.int64]:
    order = np.argsort(np.array(keys, np.int64), kind="stable")
    pairs = np.stack([np.array(keys, np.int64)[order], np.array(values, np.int64)[order]], axis=1)
    return np.ascontiguousarray(pairs.reshape(-1))
