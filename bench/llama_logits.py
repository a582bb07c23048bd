"""Logits of llama.cpp for given ids, from the library inside whichever Python binding is installed.

`llama-cpp-python` describes the C functions itself.  `xllamacpp` gives no logits to Python, but its extension module
exports llama.cpp's C functions, which are called here by ctypes.  Their parameter blocks differ from version to
version: they are kept as bytes, and only the numbers at their beginning are changed, where they are found to be the
defaults known.  x86-64 and System V calls only.
"""

from __future__ import annotations

import ctypes
import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROOM = 1024  # bytes, more than any parameter block has
_DEFAULT_N_CTX, _DEFAULT_N_BATCH = 512, 2048


class _Block(ctypes.Structure):
    """A parameter block passed by value on the stack, last of its call, where more than there is does no harm."""

    _fields_ = [("words", ctypes.c_uint32 * (_ROOM // 4))]


class _Batch(ctypes.Structure):
    """`llama_batch`."""

    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.c_void_p), ("n_seq_id", ctypes.c_void_p), ("seq_id", ctypes.c_void_p),
                ("logits", ctypes.c_void_p)]


class _ByCtypes:
    """llama.cpp inside xllamacpp."""

    def __init__(self, library: Any, model: Path, n_ctx: int, n_threads: int) -> None:
        self._c = c = ctypes.CDLL(next(str(path) for path in Path(library.__file__).parent.glob("*.so")))
        for name, result in (("llama_model_default_params", _Block), ("llama_context_default_params", _Block),
                             ("llama_model_load_from_file", ctypes.c_void_p),
                             ("llama_init_from_model", ctypes.c_void_p), ("llama_model_get_vocab", ctypes.c_void_p),
                             ("llama_get_memory", ctypes.c_void_p),
                             ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float))):
            getattr(c, name).restype = result
        c.llama_backend_init()
        self._silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        c.llama_log_set(self._silent, None)
        loaded = c.llama_model_load_from_file(str(model).encode(), c.llama_model_default_params())
        if not loaded:
            raise SystemExit(f"llama.cpp cannot load {model}")
        self._n_vocab = c.llama_vocab_n_tokens(ctypes.c_void_p(c.llama_model_get_vocab(ctypes.c_void_p(loaded))))
        self._context = ctypes.c_void_p(c.llama_init_from_model(ctypes.c_void_p(loaded), _parameters(c, n_ctx)))
        c.llama_set_n_threads(self._context, n_threads, n_threads)

    def forget(self) -> None:
        """Begin a new text."""
        self._c.llama_memory_clear(ctypes.c_void_p(self._c.llama_get_memory(self._context)), ctypes.c_bool(True))

    def read(self, ids: list[int]) -> NDArray[np.float32]:
        """Read some more ids; the logits after the last."""
        tokens = (ctypes.c_int32 * len(ids))(*ids)
        if self._c.llama_decode(self._context, _Batch(len(ids), tokens)) != 0:
            raise SystemExit("llama.cpp does not read these ids")
        return np.ctypeslib.as_array(self._c.llama_get_logits_ith(self._context, -1), (self._n_vocab,)).copy()


def _parameters(c: Any, n_ctx: int) -> _Block:
    """The context's defaults, but for the length of the text."""
    block: _Block = c.llama_context_default_params()
    if list(block.words[:2]) != [_DEFAULT_N_CTX, _DEFAULT_N_BATCH]:
        raise SystemExit(f"this llama.cpp's parameters begin with {list(block.words[:2])}, which is not understood")
    block.words[0] = n_ctx
    return block


class _ByBinding:
    """llama.cpp inside llama-cpp-python."""

    def __init__(self, library: Any, model: Path, n_ctx: int, n_threads: int) -> None:
        self._llama = library.Llama(str(model), n_ctx=n_ctx, n_threads=n_threads, n_threads_batch=n_threads,
                                    logits_all=False, verbose=False)
        self._library = library

    def forget(self) -> None:
        """Begin a new text."""
        self._llama.reset()

    def read(self, ids: list[int]) -> NDArray[np.float32]:
        """Read some more ids; the logits after the last."""
        self._llama.eval(ids)
        row = self._library.llama_get_logits_ith(self._llama.ctx, -1)
        return np.ctypeslib.as_array(row, (self._llama.n_vocab(),)).copy()


def llama_cpp_logits(module: str, model: Path, texts: list[tuple[list[int], list[int]]], n_ctx: int,
                     n_threads: int = 1) -> list[NDArray[np.float32]]:
    """For each prompt and its continuation, the logits each id of the continuation is drawn from.

    The prompt is read at once, the continuation id by id, as anyone's chat does.
    """
    opened = _ByBinding if module == "llama_cpp" else _ByCtypes
    llama: _ByBinding | _ByCtypes = opened(importlib.import_module(module), model, n_ctx, n_threads)
    found = []
    for prompt, continuation in texts:
        llama.forget()
        rows = [llama.read(prompt)]
        rows += [llama.read([token]) for token in continuation[:-1]]
        found.append(np.stack(rows))
    return found
