"""A checkpoint of any format: what its first bytes say decides who reads it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from barelm.checkpoint.binary import read_start
from barelm.checkpoint.checkpoint import Checkpoint
from barelm.checkpoint.gguf import MAGIC as GGUF
from barelm.checkpoint.gguf_model import GgufHeader, read_gguf, read_gguf_header
from barelm.checkpoint.llama2c import WHAT_TO_GIVE, Llama2cHeader, read_llama2c, read_llama2c_header
from barelm.checkpoint.tokenizer_bin import find_tokenizer
from barelm.contract import layout
from barelm.errors import BarelmError

BLM = layout.MAGIC.to_bytes(8, "little")
MOST_THETA = 1e12

RAW_PIECE = re.compile(r"\.part[-_.]?(\d+(of\d+)?|[a-z]{1,2})$|[-_.](split|part)[-_.]?[a-z0-9]{1,3}(\.gguf)?$|"
                       r"\.gguf[-_.](\d{1,3}|[a-z]{2})$", re.I)
"""How people and sites name the pieces of a file that was cut by size."""

FETCH_THE_FILE = "Fetch the file itself, not the page about it."

# What people give by mistake, by its first bytes.
STRANGERS = (
    (BLM, "is packed already", "Use it as it is, under a name that ends in .blm."),
    (b"PK\x03\x04", "is a PyTorch checkpoint", "Turn it into a .bin with llama2.c's export.py."),
    (b"version https://git-lfs", "is a Git LFS pointer, not the model it stands for", "Fetch it with `git lfs pull`."),
    (b"<!DOCTYPE", "is a web page", FETCH_THE_FILE),
    (b"<!doctype", "is a web page", FETCH_THE_FILE),
    (b"<html", "is a web page", FETCH_THE_FILE),
)


def read_checkpoint(path: Path, tokenizer: Path | None = None, rope_theta: float = 0.0) -> Checkpoint:
    """The checkpoint at `path`; its tokenizer is looked for beside it where none is given and it has none inside.

    `rope_theta` is the base of the rotary frequencies: llama2.c checkpoints do not say theirs, and without it 10,000 is
    taken.  Raises BarelmError where it cannot be read, is of no known format, or is damaged.
    """
    with _of_pieces(path):
        if _start_of(path).startswith(GGUF):
            for given, what in ((tokenizer, "a tokenizer"), (rope_theta, "a RoPE base")):
                if given:
                    raise BarelmError(f"{path} has {what} of its own", "Leave the other one out.")
            return read_gguf(path)
        if rope_theta != 0 and not 1 <= rope_theta < MOST_THETA:
            raise BarelmError(f"the RoPE base cannot be {rope_theta:g}", "Give --rope-theta as the model was trained.")
        checkpoint = read_llama2c(path, tokenizer)
        shape = replace(checkpoint.shape, rope_theta=rope_theta or checkpoint.shape.rope_theta)
        return replace(checkpoint, shape=shape)


def read_header(path: Path) -> Llama2cHeader | GgufHeader:
    """Format, shape and size of the checkpoint at `path`, without its weights and tokenizer; raises as above."""
    with _of_pieces(path):
        return read_gguf_header(path) if _start_of(path).startswith(GGUF) else read_llama2c_header(path)


@contextmanager
def _of_pieces(path: Path) -> Iterator[None]:
    """For reading a file: what is wrong with the piece of one is that the others are missing."""
    try:
        yield
    except BarelmError as error:
        if not RAW_PIECE.search(path.name):
            raise
        raise BarelmError(error.message, "By its name it is a piece of a file that was cut by size: join all pieces in "
                          "their order with `cat PIECES > whole.gguf`, and give that.") from error


def tokenizer_beside(path: Path) -> Path | None:
    """The tokenizer a model takes from the files beside it; None for a packed or GGUF one, which carries its own."""
    start, _ = read_start(path, len(BLM), WHAT_TO_GIVE)
    return None if start.startswith((BLM, GGUF)) else find_tokenizer(path, read_header(path).shape.vocab_size)


def _start_of(path: Path) -> bytes:
    """The first bytes, where they are not those of something else."""
    start, _ = read_start(path, 64, WHAT_TO_GIVE)
    for first, what, hint in STRANGERS:
        if start.startswith(first):
            raise BarelmError(f"{path} {what}", hint)
    return start
