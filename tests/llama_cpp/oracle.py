"""What llama.cpp says: its logits for given ids, from a child process, so that whatever ends it ends a test alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.child_python import child_command, child_environment
from tests.llama_cpp.calls import LlamaCpp, LlamaCppError, library

N_CTX = 256  # what llama.cpp rounds contexts to
SECONDS = 120

needs_llama_cpp = pytest.mark.skipif(library() is None, reason="llama.cpp is not here: `pip install xllamacpp`")


def llama_cpp_logits(model: Path, ids: list[int], *, exact_cache: bool = True) -> NDArray[np.float32]:
    """llama.cpp's logits after each of the ids, (ids, vocab_size); with `exact_cache` keys and values in float32.

    The words of a llama.cpp that refuses the model, or crashes, are the test's failure.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "logits.npy"
        order = json.dumps({"model": str(model), "ids": ids, "exact_cache": exact_cache, "out": str(out)})
        done = subprocess.run(child_command(__name__), input=order, capture_output=True, text=True, check=False,
                              env=child_environment(), timeout=SECONDS)
        if done.returncode != 0:
            words = (done.stderr + done.stdout)[-2000:]
            pytest.fail(f"llama.cpp ended with status {done.returncode}: {words}", pytrace=False)
        logits: NDArray[np.float32] = np.load(out)
        return logits


def _answer(order: dict[str, Any]) -> None:
    path = library()
    if path is None:
        raise SystemExit("llama.cpp is not here")
    try:
        llama = LlamaCpp(path, Path(order["model"]), N_CTX, exact_cache=order["exact_cache"])
        np.save(order["out"], llama.read(order["ids"], everywhere=True))
    except LlamaCppError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    _answer(json.load(sys.stdin))
