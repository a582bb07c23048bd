"""Programs to measure beside: llama.cpp, as this Python has it, and llama2.c's `run`, where it lies.

    python -m barelm.measure.rivals MODULE MODEL N_TOKENS CORES     measures llama.cpp once, the prompt's ids on stdin

llama.cpp is whichever of `llama-cpp-python` (compiled where it was installed) and `xllamacpp` (a wheel, built for a
range of processors) there is, the first one first.  Neither is a dependency.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from barelm.child_python import child_command, child_environment
from barelm.errors import BarelmError
from barelm.host_files import working_folder

BINDINGS = {"llama_cpp": "llama-cpp-python", "xllamacpp": "xllamacpp"}
"""Python bindings of llama.cpp: the module and the package it comes with."""

_ROOM = 64  # positions behind the last one needed
_TRIAL = 32
"""Tokens it has to read before it is measured: more than one, for which there is other code."""


class Speeds(NamedTuple):
    """Tokens a second: of the prompt, and of the tokens after the first one made."""

    prefill: float
    decode: float


def llama_cpp() -> str | None:
    """The module that brings llama.cpp, None where there is none."""
    return next(_bindings_here(), None)


def _bindings_here() -> Iterator[str]:
    return (module for module in BINDINGS if importlib.util.find_spec(module))


def llama_cpp_for(model: Path, said: Callable[[str], None]) -> str | None:
    """The first module whose llama.cpp reads a few tokens with this model; why another does not is `said` in a line."""
    for module in _bindings_here():
        try:
            run_llama_cpp(module, model, [1] * _TRIAL, 2, 1)
        except BarelmError as error:
            said(f"{error.message}: {BINDINGS[module]} is left out.  {error.hint}")
        else:
            return module
    return None


def llama_cpp_name(module: str) -> str:
    """What to call it in a table: the package and its version."""
    return f"llama.cpp ({BINDINGS[module]} {importlib.metadata.version(BINDINGS[module])})"


def run_llama_cpp(module: str, model: Path, ids: list[int], n_tokens: int, cores: int) -> Speeds:
    """Read the prompt `ids` and generate: in a process of its own, warmed up, whose threads end with it."""
    command = child_command(__name__, module, str(model), str(n_tokens), str(cores))
    done = subprocess.run(command, env=child_environment(), input=json.dumps(ids), capture_output=True, text=True)
    if done.returncode != 0:
        how = f" of {signal.Signals(-done.returncode).name}" if done.returncode < 0 else ""
        raise BarelmError(f"llama.cpp ended{how} with {model.name}",
                          _last_line(done.stderr) or "It may have been compiled for another processor.")
    return Speeds(*json.loads(done.stdout.splitlines()[-1]))


def _last_line(text: str) -> str:
    """What a program said before it ended, of a traceback the error alone."""
    return text.strip().rpartition("\n")[2][:500]


def run_llama2c(binary: Path, checkpoint: Path, tokenizer: Path, steps: int, cores: int) -> Speeds:
    """Tokens a second, as it says itself: `steps` forward passes from an empty prompt, the first one not timed."""
    with working_folder() as folder:
        shutil.copyfile(tokenizer, folder / "tokenizer.bin")
        done = subprocess.run([binary.resolve(), checkpoint.resolve(), "0", str(steps)], cwd=folder,
                              capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(cores)})
    found = re.search(rb"achieved tok/s: ([\d.]+|inf)", done.stdout)
    if done.returncode != 0 or found is None:
        raise BarelmError(f"{binary} says nothing of its speed", "Give the program that llama2.c's run.c was built to.")
    return Speeds(0.0, float(found[1]))


def _with_xllamacpp(library: Any, model: str, ids: list[int], n_tokens: int, cores: int) -> Speeds:
    """Its server's own timings; from the first token made to the last are n - 1 passes."""
    parameters = library.CommonParams()
    parameters.model.path, parameters.n_parallel, parameters.verbosity = model, 1, 0
    parameters.n_ctx = len(ids) + n_tokens + _ROOM
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = cores
    server = library.Server(parameters)
    request = {"prompt": ids, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    server.handle_completions({**request, "n_predict": 4})
    timings = server.handle_completions({**request, "n_predict": n_tokens})["timings"]
    if timings["prompt_n"] != len(ids) or timings["predicted_n"] != n_tokens:
        raise SystemExit(f"it did other work than it was asked for: {timings}")
    return Speeds(len(ids) * 1000 / timings["prompt_ms"], (n_tokens - 1) * 1000 / timings["predicted_ms"])


def _with_llama_cpp_python(library: Any, model: str, ids: list[int], n_tokens: int, cores: int) -> Speeds:
    """The same passes by hand.  The tokens read are those of the prompt: nothing is sampled, which is in its favour."""
    llama = library.Llama(model, n_ctx=len(ids) + n_tokens + _ROOM, n_threads=cores, n_threads_batch=cores,
                          verbose=False)
    llama.eval(ids)
    llama.reset()
    began = time.perf_counter()
    llama.eval(ids)
    read = time.perf_counter()
    for k in range(n_tokens - 1):
        llama.eval([ids[k % len(ids)]])
    return Speeds(len(ids) / (read - began), (n_tokens - 1) / (time.perf_counter() - read))


def main() -> None:
    """Measure llama.cpp once."""
    module, model, n_tokens, cores = sys.argv[1:]
    run = _with_llama_cpp_python if module == "llama_cpp" else _with_xllamacpp
    speeds = run(importlib.import_module(module), model, json.load(sys.stdin), int(n_tokens), int(cores))
    print(json.dumps(speeds), flush=True)


if __name__ == "__main__":
    main()
