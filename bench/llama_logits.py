"""llama.cpp's own ids of texts and its logits, from the library inside whichever Python binding is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tests.llama_cpp.calls import LlamaCpp, library

Text = tuple[list[int], list[int]]  # a prompt and its continuation


class Llama(Protocol):
    """A model in llama.cpp."""

    def forget(self) -> None:
        """Begin a new text."""

    def read(self, ids: list[int]) -> NDArray[np.float32]:
        """Read some more ids; the logits after the last."""

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """The ids of a text, control tokens recognised where it is `special`."""


class _ByBinding:
    """llama.cpp inside llama-cpp-python."""

    def __init__(self, module: Any, model: Path, n_ctx: int, n_threads: int) -> None:
        self._llama = module.Llama(str(model), n_ctx=n_ctx, n_threads=n_threads, n_threads_batch=n_threads,
                                   logits_all=False, verbose=False)
        self._module = module

    def forget(self) -> None:
        """Begin a new text."""
        self._llama.reset()

    def read(self, ids: list[int]) -> NDArray[np.float32]:
        """Read some more ids; the logits after the last."""
        self._llama.eval(ids)
        row = self._module.llama_get_logits_ith(self._llama.ctx, -1)
        return np.ctypeslib.as_array(row, (self._llama.n_vocab(),)).copy()

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """The ids of a text, control tokens recognised where it is `special`."""
        return list(self._llama.tokenize(text.encode(), special=special))


def open_llama_cpp(module: str, model: Path, n_ctx: int, n_threads: int = 1) -> Llama:
    """The model, in llama.cpp as the binding `module` brings it, with the defaults of its cache."""
    if module == "llama_cpp":
        return _ByBinding(importlib.import_module(module), model, n_ctx, n_threads)
    path = library()
    assert path is not None, f"{module} is installed"
    return LlamaCpp(path, model, n_ctx, n_threads)


def llama_cpp_logits(llama: Llama, texts: list[Text]) -> Iterator[NDArray[np.float32]]:
    """For each prompt and its continuation, the logits each id of the continuation is drawn from.

    The prompt is read at once, the continuation id by id, as anyone's chat does.
    """
    for prompt, continuation in texts:
        llama.forget()
        rows = [llama.read(prompt)]
        rows += [llama.read([token]) for token in continuation[:-1]]
        yield np.stack(rows)
