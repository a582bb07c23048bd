"""The vocabulary in a GGUF model's metadata: byte-level BPE ("gpt2") or SentencePiece ("llama")."""

import re

import numpy as np

from barelm.checkpoint.checkpoint import BOS_ID, EOS_ID, Vocab
from barelm.checkpoint.gguf_metadata import Metadata

# What `tokenizer.ggml.token_type` may say of a token.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPECIAL = (CONTROL, USER_DEFINED)
SILENT = (UNKNOWN, CONTROL, UNUSED)

BYTE_TOKEN = re.compile(rb"<0x([0-9A-Fa-f]{2})>")
LONGEST_TOKEN = 4096
"""In bytes; the longest of known vocabularies are some hundreds, mostly spaces."""

PRETOKENIZERS = {"smollm": "smollm", "gpt-2": "gpt-2", "default": "gpt-2", "": "gpt-2", "llama-bpe": "llama-bpe",
                 "llama3": "llama-bpe", "llama-v3": "llama-bpe", "qwen2": "qwen2"}
STARTS_WITH_BOS = ("llama-bpe",)

ENDS = frozenset((b"<|im_end|>", b"<|eot_id|>", b"<|eom_id|>", b"<|endoftext|>", b"<|end_of_text|>", b"<|end|>",
                  b"<end_of_turn>"))
"""Control tokens that end a reply by their name, whatever the metadata says of them; llama.cpp goes by the same."""


def _gpt2_alphabet() -> dict[str, int]:
    """Which byte each character of GPT-2's vocabulary stands for: itself where it prints, else one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


ALPHABET = _gpt2_alphabet()


def read_vocab(metadata: Metadata) -> Vocab:
    """The vocabulary.  Raises BarelmError where it is damaged or of a kind that is not supported."""
    model = metadata.text("tokenizer.ggml.model")
    if model not in ("gpt2", "llama"):
        raise metadata.refused(f"has a tokenizer of the kind {model!r:.40}")
    tokens = metadata.strings("tokenizer.ggml.tokens")
    if not tokens:
        raise metadata.damaged("its vocabulary is empty")
    longest = max(map(len, tokens))
    if longest > LONGEST_TOKEN:
        raise metadata.damaged(f"a token of its vocabulary is {longest} bytes long")
    types = _token_types(metadata, len(tokens))
    return (_bytelevel if model == "gpt2" else _sentencepiece)(metadata, tokens, types)


def _token_types(metadata: Metadata, count: int) -> list[int]:
    key = "tokenizer.ggml.token_type"
    if key not in metadata:
        return [NORMAL] * count
    types = metadata.numbers(key, count)
    if types.dtype.kind not in "iu":
        raise metadata.damaged(f"its {key} are no whole numbers")
    return list(map(int, types.tolist()))


def _bytelevel(metadata: Metadata, tokens: tuple[bytes, ...], types: list[int]) -> Vocab:
    pre = metadata.text("tokenizer.ggml.pre", "default")
    if pre not in PRETOKENIZERS:
        raise metadata.refused(f"cuts text into words by the rule {pre!r:.40}")
    pretokenizer = PRETOKENIZERS[pre]
    pieces = tuple(token if kind in SPECIAL else undo_alphabet(token) for token, kind in zip(tokens, types))
    ids = {token: i for i, (token, kind) in reversed(list(enumerate(zip(tokens, types)))) if kind not in SPECIAL}
    bos = _token_id(metadata, "bos", len(tokens), -1)
    add_bos = metadata.flag("tokenizer.ggml.add_bos_token", pretokenizer in STARTS_WITH_BOS)
    return Vocab(
        kind="bytelevel", pieces=pieces, outputs=_outputs(pieces, types), merges=_merges(metadata, ids),
        byte_ids=tuple(ids.get(character.encode(), -1)
                       for character, _ in sorted(ALPHABET.items(), key=lambda entry: entry[1])),
        bos_id=bos, eos_ids=_eos_ids(metadata, tokens, types, -1), add_bos=add_bos and bos >= 0,
        add_space_prefix=False, pretokenizer=pretokenizer, special=_special(tokens, types),
        chat_template=metadata.text("tokenizer.chat_template", ""))


def undo_alphabet(token: bytes) -> bytes:
    """The bytes a token of GPT-2's alphabet stands for; a token in other characters stands for itself."""
    try:
        return bytes(map(ALPHABET.__getitem__, token.decode()))
    except (UnicodeDecodeError, KeyError):
        return token


def _merges(metadata: Metadata, ids: dict[bytes, int]) -> tuple[tuple[int, int], ...]:
    """Pairs of tokens, the first to merge first; those whose parts or whole are no tokens can never happen."""
    merges = []
    for merge in metadata.strings("tokenizer.ggml.merges"):
        left, _, right = merge.partition(b" ")
        first, second = ids.get(left), ids.get(right)
        if first is not None and second is not None and left + right in ids:
            merges.append((first, second))
    return tuple(merges)


def _sentencepiece(metadata: Metadata, tokens: tuple[bytes, ...], types: list[int]) -> Vocab:
    key = "tokenizer.ggml.scores"
    scores = metadata.numbers(key, len(tokens))
    if scores.dtype.kind != "f" or not np.isfinite(scores).all():
        raise metadata.damaged(f"its {key} are no finite numbers")
    pieces = tuple(token.replace("\u2581".encode(), b" ") for token in tokens)
    outputs = list(_outputs(pieces, types))
    byte_ids = [-1] * 256
    for i, kind in enumerate(types):
        if kind == BYTE:
            byte = _byte_of(metadata, tokens[i])
            outputs[i] = bytes([byte])
            byte_ids[byte] = i
    bos = _token_id(metadata, "bos", len(tokens), BOS_ID)
    return Vocab(
        kind="sentencepiece", pieces=pieces, outputs=tuple(outputs), scores=tuple(scores.tolist()),
        byte_ids=tuple(byte_ids), bos_id=bos, eos_ids=_eos_ids(metadata, tokens, types, EOS_ID),
        add_bos=metadata.flag("tokenizer.ggml.add_bos_token", True) and bos >= 0,
        add_space_prefix=metadata.flag("tokenizer.ggml.add_space_prefix", True),
        special=_special(pieces, types), chat_template=metadata.text("tokenizer.chat_template", ""))


def _byte_of(metadata: Metadata, token: bytes) -> int:
    named = BYTE_TOKEN.fullmatch(token)
    if not named:
        raise metadata.damaged(f"the token {token!r:.40} of its vocabulary is no byte")
    return int(named[1], 16)


def _outputs(pieces: tuple[bytes, ...], types: list[int]) -> tuple[bytes, ...]:
    return tuple(b"" if kind in SILENT else piece for piece, kind in zip(pieces, types))


def _special(tokens: tuple[bytes, ...], types: list[int]) -> dict[str, int]:
    special: dict[str, int] = {}
    for i, kind in enumerate(types):
        if kind in SPECIAL and tokens[i]:
            special.setdefault(tokens[i].decode(errors="replace"), i)
    return special


def _token_id(metadata: Metadata, name: str, count: int, default: int) -> int:
    """The id under `name`; -1 where there is none."""
    key = f"tokenizer.ggml.{name}_token_id"
    # Some converters write "none" as 2^32 - 1.
    value = metadata.whole(key, default if default < count else -1)
    if value in (-1, 0xFFFFFFFF):
        return -1
    if not 0 <= value < count:
        raise metadata.damaged(f"its {key} is {value}, its vocabulary has {count} tokens")
    return value


def _eos_ids(metadata: Metadata, tokens: tuple[bytes, ...], types: list[int], default: int) -> tuple[int, ...]:
    """Every token that ends a reply, the one the metadata calls so first."""
    named = [_token_id(metadata, "eos", len(tokens), default)]
    named += [_token_id(metadata, name, len(tokens), -1) for name in ("eot", "eom")]
    by_name = [i for i, kind in enumerate(types) if kind in SPECIAL and tokens[i] in ENDS]
    return tuple(dict.fromkeys(i for i in named + by_name if i >= 0))
