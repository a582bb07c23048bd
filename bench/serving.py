"""A node beside llama.cpp's server: the same model, cores and questions, one after the other, by clients at once.

    python bench/serving.py MODEL.gguf --llama-server PATH [--cores 2] [--rounds 3] [--json OUT]

Of each round: tokens a second with 1, 4 and 16 clients; the time to the first token of a short prompt on an idle server
and beside four long answers; and of the node, whether answers under load are those made alone.  Medians of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLIENTS = (1, 4, 16)
QUESTIONS, TOKENS = 16, 64
START_S, ANSWER_S = 300, 600
NODE_PORT, OTHER_PORT = 8171, 8172


def post(base: str, body: dict[str, Any]) -> Any:
    """A streaming or a whole answer."""
    request = urllib.request.Request(f"{base}/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=ANSWER_S)


def question(k: int, **more: Any) -> dict[str, Any]:
    """The k-th question; greedy, so that both servers have the same to do."""
    said = f"Tell me what you know about the number {k}, and why somebody may like it."
    return {"messages": [{"role": "user", "content": said}], "temperature": 0, "max_tokens": TOKENS, "seed": 1, **more}


def told(base: str, k: int) -> tuple[str, int]:
    """The answer to it, and how many tokens it is."""
    with post(base, question(k)) as answer:
        found = json.load(answer)
    return found["choices"][0]["message"]["content"], found["usage"]["completion_tokens"]


def throughput(base: str, n_clients: int, answers: dict[int, str]) -> float:
    """Tokens a second, all clients together."""
    left, made, lock = list(range(QUESTIONS)), [0], threading.Lock()

    def client() -> None:
        while True:
            with lock:
                if not left:
                    return
                k = left.pop()
            text, n = told(base, k)
            with lock:
                answers[k] = text
                made[0] += n

    began = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made[0] / (time.monotonic() - began)


def first_token_s(base: str) -> float:
    """Seconds to the first token of a short prompt."""
    began = time.monotonic()
    body = {"messages": [{"role": "user", "content": f"Say a word {began}"}], "temperature": 0, "max_tokens": 1,
            "stream": True}
    with post(base, body) as answer:
        for line in answer:
            if line.startswith(b"data: {") and b'"content":"' in line:
                return time.monotonic() - began
    return time.monotonic() - began


def first_token_under_load(base: str) -> float:
    """The same while four long answers are made."""
    over = threading.Event()

    def long(k: int) -> None:
        with post(base, question(100 + k, max_tokens=400, stream=True)) as answer:
            for _ in answer:
                if over.is_set():
                    return

    threads = [threading.Thread(target=long, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    found = statistics.median(first_token_s(base) for _ in range(5))
    over.set()
    for thread in threads:
        thread.join()
    return found


@contextlib.contextmanager
def running(command: list[str], base: str) -> Iterator[None]:
    """A server, from the moment it is healthy on."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + START_S
            while True:
                with contextlib.suppress(OSError):
                    with urllib.request.urlopen(f"{base}/health", timeout=5) as answer:
                        if answer.status == 200:
                            break
                if time.monotonic() > until or process.poll() is not None:
                    sys.exit(f"{command[0]} does not serve at {base}")
                time.sleep(0.5)
            yield
        finally:
            process.terminate()


def measured(base: str) -> dict[str, Any]:
    """One round."""
    answers: dict[int, str] = {}
    alone = {k: told(base, k)[0] for k in range(4)}
    found: dict[str, Any] = {"idle_first_s": statistics.median(first_token_s(base) for _ in range(5))}
    for n in CLIENTS:
        found[f"{n}_clients"] = throughput(base, n, answers)
        found[f"{n}_alike"] = all(answers[k] == alone[k] for k in alone)
    found["loaded_first_s"] = first_token_under_load(base)
    found["hash"] = hashlib.sha256("".join(answers[k] for k in sorted(answers)).encode()).hexdigest()[:16]
    return found


def main() -> None:
    """Both servers, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--llama-server", default="llama-server")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    commands = {
        "barelm": ([sys.executable, "-m", "barelm", "serve", str(asked.model), "--machine", "hosted", "--cores",
                    str(asked.cores), "--port", str(NODE_PORT), "--slots", "7", "--context", "1024"], NODE_PORT),
        "llama.cpp": ([asked.llama_server, "-m", str(asked.model), "--port", str(OTHER_PORT), "-t", str(asked.cores),
                       "-tb", str(asked.cores), "-c", "8192", "-np", "8", "--no-webui"], OTHER_PORT)}
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(asked.rounds):
        for name, (command, port) in commands.items():
            base = f"http://127.0.0.1:{port}"
            with running(command, base):
                rounds[name].append(measured(base))
            print(name, json.dumps(rounds[name][-1]), file=sys.stderr, flush=True)
    for key in rounds["barelm"][0]:
        values = {name: [each[key] for each in found] for name, found in rounds.items()}
        if isinstance(values["barelm"][0], float):
            medians = {name: statistics.median(found) for name, found in values.items()}
            print(f"{key:16} barelm {medians['barelm']:9.3f}   llama.cpp {medians['llama.cpp']:9.3f}   "
                  f"ratio {medians['barelm'] / medians['llama.cpp']:.2f}")
        else:
            print(f"{key:16} {values}")
    if asked.json:
        asked.json.write_text(json.dumps(rounds, indent=1))


if __name__ == "__main__":
    main()
