"""Other programs: what they say of their speed is read, what they say instead is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.errors import BarelmError
from barelm.measure import rivals


def program(folder: Path, line: str) -> Path:
    """A `run` that says something, where it finds a tokenizer."""
    path = folder / "run"
    path.write_text(f"#!/bin/sh\ntest -f tokenizer.bin || exit 3\ntest $2 = 0 -a $3 = 64 || exit 4\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("line, speed", [("echo achieved tok/s: 12.5 >&1", 12.5), ("echo x; echo achieved tok/s: inf",
                                                                                 float("inf"))])
def test_llama2c_says_its_speed(tmp_path: Path, line: str, speed: float) -> None:
    (tmp_path / "words").write_bytes(b"tokenizer")
    found = rivals.run_llama2c(program(tmp_path, line), tmp_path / "model.bin", tmp_path / "words", 64, 2)
    assert found == rivals.Speeds(0.0, speed)


@pytest.mark.parametrize("line", ["echo nothing", "echo achieved tok/s: 3; exit 1", "echo achieved tok/s: fast"])
def test_anything_else_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "words").write_bytes(b"tokenizer")
    with pytest.raises(BarelmError, match="says nothing of its speed"):
        rivals.run_llama2c(program(tmp_path, line), tmp_path / "model.bin", tmp_path / "words", 64, 1)


@pytest.mark.skipif(rivals.llama_cpp() is None, reason="this Python has no llama.cpp")
def test_llama_cpp_that_fails_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"no model")
    with pytest.raises(BarelmError, match="llama.cpp ended with no.gguf"):
        rivals.run_llama_cpp(str(rivals.llama_cpp()), tmp_path / "no.gguf", [1, 2], 4, 1)


DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
ANSWERS = """
from types import SimpleNamespace as Some

def CommonParams():
    return Some(model=Some(), cpuparams=Some(), cpuparams_batch=Some())

class Server:
    def __init__(self, parameters):
        pass

    def handle_completions(self, request):
        timings = {"prompt_n": len(request["prompt"]), "prompt_ms": 1, "predicted_ms": 1}
        return {"timings": {**timings, "predicted_n": request["n_predict"]}}
"""


def test_a_llama_cpp_that_crashes_is_left_out_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("dies", DIES), ("answers", ANSWERS)):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(rivals, "BINDINGS", {"absent_altogether": "none", "dies": "pip-dies", "answers": "pip-answers"})
    said: list[str] = []
    assert rivals.llama_cpp_for(tmp_path / "a.gguf", said.append) == "answers"
    assert len(said) == 1 and said[0].startswith("llama.cpp ended of SIGSEGV with a.gguf: pip-dies is left out.")
    monkeypatch.setattr(rivals, "BINDINGS", {"dies": "pip-dies"})
    assert rivals.llama_cpp_for(tmp_path / "a.gguf", said.append) is None
