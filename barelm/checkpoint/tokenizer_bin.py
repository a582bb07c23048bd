"""llama2.c tokenizers (`tokenizer.bin`): SentencePiece pieces and their scores, as its `tokenizer.py` writes them.

The file holds the length of the longest piece, then for every id its score, its length and its bytes; a piece's
U+2581 is a space already.  Ids 0, 1 and 2 are always <unk>, <s> and </s>.
"""

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from barelm.checkpoint.binary import read_start
from barelm.checkpoint.checkpoint import BOS_ID, EOS_ID, Vocab
from barelm.errors import BarelmError

CONTROL = {"<unk>": 0, "<s>": BOS_ID, "</s>": EOS_ID}
LONGEST_PIECE = 1024
"""Bytes of a piece beyond which a file is taken for damaged (Llama 2's longest has 27)."""

_MAX_LENGTH = struct.Struct("<i")
_ENTRY = struct.Struct("<fi")
_BYTE_PIECE = re.compile(rb"<0x([0-9A-F]{2})>")

WHAT_TO_GIVE = "Give the tokenizer the model was trained with, in llama2.c's form, with --tokenizer."


def find_tokenizer(checkpoint: Path, vocab_size: int) -> Path:
    """The tokenizer beside a checkpoint: `tok<vocab size>.bin` or `tokenizer.bin`.

    Raises BarelmError where there is none with as many pieces as the model needs.
    """
    names = (f"tok{vocab_size}.bin", "tokenizer.bin")
    unfit = ""
    for name in names:
        path = checkpoint.with_name(name)
        if path.is_file():
            try:
                read_tokenizer(path, vocab_size)
            except BarelmError as error:
                unfit = unfit or f" ({error.message})"
            else:
                return path
    raise BarelmError(f"no tokenizer for {checkpoint}: looked for {' and '.join(names)} beside it, "
                      f"with {vocab_size} pieces{unfit}", WHAT_TO_GIVE)


def read_tokenizer(path: Path, vocab_size: int) -> Vocab:
    """The vocabulary in a llama2.c tokenizer.  Raises BarelmError unless it has `vocab_size` pieces, all sound."""
    # A sound tokenizer is no longer than this; what lies behind is not even read.
    most = _MAX_LENGTH.size + (vocab_size + 1) * (_ENTRY.size + LONGEST_PIECE)
    raw, _ = read_start(path, most, WHAT_TO_GIVE)
    pieces: list[bytes] = []
    scores: list[float] = []
    for score, piece in _entries(path, raw):
        if len(pieces) == vocab_size:
            raise BarelmError(f"{path} has more than the {vocab_size} pieces of the model", WHAT_TO_GIVE)
        pieces.append(piece)
        scores.append(score)
    if len(pieces) < vocab_size:
        raise BarelmError(f"{path} has {len(pieces)} pieces, the model {vocab_size}", WHAT_TO_GIVE)
    return sentencepiece_vocab(tuple(pieces), tuple(scores))


def sentencepiece_vocab(pieces: tuple[bytes, ...], scores: tuple[float, ...]) -> Vocab:
    """A vocabulary of pieces and scores in Llama 2's order: control tokens print nothing, <0xHH> prints its byte."""
    outputs = []
    byte_ids = [-1] * 256
    for token, piece in enumerate(pieces):
        match = _BYTE_PIECE.fullmatch(piece)
        if match:
            byte = int(match[1], 16)
            outputs.append(bytes([byte]))
            if byte_ids[byte] < 0:
                byte_ids[byte] = token
        else:
            outputs.append(b"" if token in CONTROL.values() else piece)
    return Vocab("sentencepiece", pieces, tuple(outputs), scores, byte_ids=tuple(byte_ids), special=CONTROL)


def _entries(path: Path, raw: bytes) -> Iterator[tuple[float, bytes]]:
    """Score and bytes of each piece."""
    if len(raw) < _MAX_LENGTH.size:
        raise BarelmError(f"{path} is not a tokenizer: it has {len(raw)} bytes", WHAT_TO_GIVE)
    longest = min(_MAX_LENGTH.unpack_from(raw)[0], LONGEST_PIECE)
    at, token = _MAX_LENGTH.size, 0
    while at < len(raw):
        if at + _ENTRY.size > len(raw):
            raise BarelmError(f"{path} is cut short within piece {token}", WHAT_TO_GIVE)
        score, length = _ENTRY.unpack_from(raw, at)
        at += _ENTRY.size
        if not 0 <= length <= longest:
            raise BarelmError(f"{path} is not a tokenizer, or is damaged: piece {token} would have {length} bytes "
                              f"where {longest} are the most", WHAT_TO_GIVE)
        if not math.isfinite(score):
            raise BarelmError(f"{path} is damaged: the score of piece {token} is {score}", WHAT_TO_GIVE)
        if at + length > len(raw):
            raise BarelmError(f"{path} is cut short within piece {token}", WHAT_TO_GIVE)
        yield score, raw[at:at + length]
        at, token = at + length, token + 1
