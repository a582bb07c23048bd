"""What llama.cpp says: its logits and its quantized weights, by a child process whose crash is one test's failure."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.child_python import child_command, child_environment
from tests.llama_cpp.calls import LlamaCpp, LlamaCppError, ggml_quantize, library

N_CTX = 256  # what llama.cpp rounds contexts to
SECONDS = 120

needs_llama_cpp = pytest.mark.skipif(library() is None, reason="llama.cpp is not here: `pip install xllamacpp`")


def llama_cpp_logits(model: Path, *texts: list[int], exact_cache: bool = True) -> NDArray[np.float32]:
    """llama.cpp's logits after each of the ids of the texts, (ids, vocab_size).

    With `exact_cache` keys and values are in float32, as they are not by default.  The words of a llama.cpp that
    refuses the model, or crashes, are the test's failure.
    """
    return _asked([], model=str(model), texts=texts, exact_cache=exact_cache)[0]


def quantize_by_ggml(values: list[NDArray[np.float32]], kinds: list[str]) -> list[NDArray[np.uint8]]:
    """Tensors in the types given, as bytes of each row, by GGML itself."""
    return _asked(values, kinds=[int(gguf.GGMLQuantizationType[kind]) for kind in kinds])


def _asked(arrays: list[Any], **order: Any) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "given.npz", Path(folder) / "out.npz"
        np.savez(given, *arrays)
        order |= {"given": str(given), "out": str(out)}
        done = subprocess.run(child_command(__name__), input=json.dumps(order), capture_output=True, text=True,
                              check=False, env=child_environment(), timeout=SECONDS)
        if done.returncode != 0:
            words = (done.stderr + done.stdout)[-2000:]
            pytest.fail(f"llama.cpp ended with status {done.returncode}: {words}", pytrace=False)
        return _arrays(out)


def _arrays(path: Path) -> list[Any]:
    with np.load(path) as found:
        return [found[f"arr_{i}"] for i in range(len(found.files))]


def _answer(order: dict[str, Any]) -> list[Any]:
    path = library()
    if path is None:
        raise SystemExit("llama.cpp is not here")
    if "kinds" in order:
        return [ggml_quantize(path, values, kind) for values, kind in zip(_arrays(order["given"]), order["kinds"])]
    llama = LlamaCpp(path, Path(order["model"]), N_CTX, exact_cache=order["exact_cache"])
    rows = []
    for text in order["texts"]:
        llama.forget()
        rows.append(llama.read(text, everywhere=True))
    return [np.concatenate(rows)]


def _main() -> None:
    order = json.load(sys.stdin)
    try:
        np.savez(order["out"], *_answer(order))
    except LlamaCppError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    _main()
