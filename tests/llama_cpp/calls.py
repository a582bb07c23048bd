"""llama.cpp's C functions, called by ctypes in the library inside `xllamacpp`, which gives no logits to Python itself.

The parameter blocks differ from version to version: they are kept as bytes, and a number is changed only where those
around it are found to be the defaults known.  x86-64 and System V calls only.
"""

from __future__ import annotations

import ctypes
import importlib.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROOM = 1024  # bytes, more than any parameter block has
_DEFAULT_N_CTX, _DEFAULT_N_BATCH = 512, 2048
_MINUS_ONE = int.from_bytes(struct.pack("<f", -1.0), "little")
_NOT_SET = 0xFFFFFFFF
_F32, _F16 = 0, 1  # of `ggml_type`; caches are F16 by default


class _Block(ctypes.Structure):
    """A parameter block passed by value on the stack, last of its call, where more than there is does no harm."""

    _fields_ = [("words", ctypes.c_uint32 * (_ROOM // 4))]


class _Batch(ctypes.Structure):
    """`llama_batch`."""

    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.c_void_p), ("n_seq_id", ctypes.c_void_p), ("seq_id", ctypes.c_void_p),
                ("logits", ctypes.POINTER(ctypes.c_int8))]


class LlamaCppError(Exception):
    """llama.cpp does not load a model or read its ids, or is one whose parameters are not understood."""


def library() -> Path | None:
    """The shared library with llama.cpp in it, None where there is none."""
    found = importlib.util.find_spec("xllamacpp")
    folder = Path(found.origin).parent if found is not None and found.origin else None
    return None if folder is None else next(folder.glob("*.so"), None)


class LlamaCpp:
    """A model loaded by llama.cpp, and the text it is reading."""

    def __init__(self, path: Path, model: Path, n_ctx: int, n_threads: int = 1, *, exact_cache: bool = False) -> None:
        """`exact_cache` keeps keys and values in float32, instead of float16, and takes the plain attention."""
        self._c = c = ctypes.CDLL(str(path))
        for name, result in (("llama_model_default_params", _Block), ("llama_context_default_params", _Block),
                             ("llama_model_load_from_file", ctypes.c_void_p),
                             ("llama_init_from_model", ctypes.c_void_p), ("llama_model_get_vocab", ctypes.c_void_p),
                             ("llama_get_memory", ctypes.c_void_p),
                             ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float))):
            getattr(c, name).restype = result
        c.llama_backend_init()
        self._words: list[str] = []
        self._log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(self._hear)
        c.llama_log_set(self._log, None)
        self._model = ctypes.c_void_p(c.llama_model_load_from_file(str(model).encode(), c.llama_model_default_params()))
        if not self._model:
            raise LlamaCppError(f"llama.cpp cannot load {model}: {''.join(self._words[-4:])}")
        self._vocab = ctypes.c_void_p(c.llama_model_get_vocab(self._model))
        self.n_vocab = int(c.llama_vocab_n_tokens(self._vocab))
        self._context = ctypes.c_void_p(c.llama_init_from_model(self._model, _parameters(c, n_ctx, exact_cache)))
        if not self._context:
            raise LlamaCppError(f"llama.cpp cannot run {model}: {''.join(self._words[-4:])}")
        c.llama_set_n_threads(self._context, n_threads, n_threads)

    def _hear(self, level: int, words: bytes, _: Any) -> None:
        self._words.append(words.decode(errors="replace"))

    def forget(self) -> None:
        """Begin a new text."""
        self._c.llama_memory_clear(ctypes.c_void_p(self._c.llama_get_memory(self._context)), ctypes.c_bool(True))

    def read(self, ids: list[int], *, everywhere: bool = False) -> NDArray[np.float32]:
        """Read some more ids; the logits after the last, or after each of them, shape (ids, n_vocab)."""
        n = len(ids)
        wanted = (ctypes.c_int8 * n)(*([int(everywhere)] * (n - 1)), 1)
        batch = _Batch(n, (ctypes.c_int32 * n)(*ids), None, None, None, None, wanted)
        if self._c.llama_decode(self._context, batch) != 0:
            raise LlamaCppError(f"llama.cpp does not read these ids: {''.join(self._words[-4:])}")
        rows = [np.ctypeslib.as_array(self._c.llama_get_logits_ith(self._context, i), (self.n_vocab,)).copy()
                for i in (range(n) if everywhere else [n - 1])]
        return np.stack(rows) if everywhere else rows[0]

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """The ids of a text, as they stand behind its beginning where the model has one."""
        raw = text.encode()
        room = (ctypes.c_int32 * (len(raw) + 8))()
        n = self._c.llama_tokenize(self._vocab, raw, len(raw), room, len(room), ctypes.c_bool(True),
                                   ctypes.c_bool(special))
        return list(room[:n])


def ggml_quantize(path: Path, values: NDArray[np.float32], kind: int) -> NDArray[np.uint8]:
    """A matrix in one of GGML's types, the bytes of each row."""
    c: Any = ctypes.CDLL(str(path))
    for name in ("ggml_row_size", "ggml_quantize_chunk"):
        getattr(c, name).restype = ctypes.c_size_t
    c.ggml_quantize_init(kind)
    flat = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    rows, cols = (ctypes.c_int64(n) for n in flat.shape)
    out = np.empty((*values.shape[:-1], c.ggml_row_size(kind, cols)), np.uint8)
    written = c.ggml_quantize_chunk(kind, flat.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
                                    ctypes.c_int64(0), rows, cols, None)
    if written != out.nbytes:
        raise LlamaCppError(f"llama.cpp wrote {written} bytes of the type {kind} instead of {out.nbytes}")
    return out


def _parameters(c: Any, n_ctx: int, exact_cache: bool) -> _Block:
    """The context's defaults, but for the length of the text, and the cache where it is to be exact."""
    block: _Block = c.llama_context_default_params()
    if list(block.words[:2]) != [_DEFAULT_N_CTX, _DEFAULT_N_BATCH]:
        raise LlamaCppError(f"this llama.cpp's parameters begin with {list(block.words[:2])}, which is not understood")
    block.words[0] = n_ctx
    if exact_cache:
        flash_attention, cache = _places(list(block.words[:64]))
        block.words[flash_attention] = 0
        block.words[cache] = block.words[cache + 1] = _F32
    return block


def _places(words: list[int]) -> tuple[int, int]:
    """Where the context's parameters say whether attention is "flash", and of which type keys and values are.

    Four kinds that are not set (rotary scaling, pooling, attention, flash attention), two zeros (base and scale of the
    frequencies), YaRN's four factors that are not set, its context, another factor that is not set, two pointers that
    are null, then the two types.
    """
    known = [_NOT_SET] * 4 + [0, 0] + [_MINUS_ONE] * 4 + [0, _MINUS_ONE] + [0] * 4 + [_F16, _F16]
    for at in range(len(words) - len(known)):
        if words[at:at + len(known)] == known:
            return at + 3, at + len(known) - 2
    raise LlamaCppError("this llama.cpp's parameters of a context are in an order that is not understood")
