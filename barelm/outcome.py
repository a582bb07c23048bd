"""How a run ended: the text, the ids, the figures, or what went wrong."""

import functools
from dataclasses import asdict, dataclass
from typing import Any

from barelm.errors import BarelmError
from barelm.kernels.session import sum_with
from barelm.transcript import Transcript

_NEEDED = ("n_prompt", "n_generated", "n_guessed", "n_right", "prefill_us", "decode_us", "load_bytes", "load_us",
           "memory_bytes", "cores", "seed", "ids_sum")
_LOST = "The console lost some of its lines: try again, or another --machine."


@dataclass(frozen=True)
class Outcome:
    """What `barelm run --json` prints: the fields are its keys."""

    text: str
    thought: str  # what the model wrote down before its answer, which is the text
    token_ids: list[int]  # prompt, then generated
    n_prompt: int
    n_generated: int
    n_guessed: int  # tokens read before they were chosen
    n_right: int  # and those of them that were chosen then
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    load_mb_per_s: float
    memory_bytes: int
    cores: int
    seed: int
    machine: str
    status: int  # of the program, without the error bit; 0: success

    def as_json(self, efi_bytes: int) -> dict[str, Any]:
        """The object for machines."""
        return {**asdict(self), "efi_bytes": efi_bytes}


def check_ended(heard: Transcript, machine: str) -> None:
    """Raise BarelmError where the program failed, in its own words, or vanished."""
    if heard.status is None:
        raise BarelmError(f"the machine ({machine}) went off before the program ended",
                          "Its last words: " + " | ".join(heard.other[-4:]))
    if heard.status != 0:
        message, *rest = heard.failure or [""]
        raise BarelmError(message or f"the program ended with status {heard.status}", " ".join(rest).strip())


def outcome_of(heard: Transcript, machine: str) -> Outcome:
    """The outcome of what was heard; raises as `check_ended`."""
    check_ended(heard, machine)
    m = heard.measured
    if missing := [name for name in _NEEDED if name not in m]:
        raise BarelmError(f"the program ended well but its report lacks {', '.join(missing)}",
                          _LOST)
    n_ids = len(heard.token_ids)
    if n_ids != m["n_prompt"] + m["n_generated"]:
        raise BarelmError(f"the program told of {m['n_prompt']} and {m['n_generated']} ids, and {n_ids} came", _LOST)
    if functools.reduce(sum_with, heard.token_ids, 0) != m["ids_sum"]:
        raise BarelmError("an id that the program told of came as another", _LOST)
    assert heard.status is not None
    return Outcome(
        text=heard.text, thought=heard.thought.strip(), token_ids=heard.token_ids,
        n_prompt=m["n_prompt"], n_generated=m["n_generated"], n_guessed=m["n_guessed"], n_right=m["n_right"],
        prefill_tokens_per_s=_rate(m["n_prompt"], m["prefill_us"]),
        decode_tokens_per_s=_rate(max(m["n_generated"] - 1, 0), m["decode_us"]),
        load_mb_per_s=_rate(m["load_bytes"] / 1e6, m["load_us"]),
        memory_bytes=m["memory_bytes"], cores=m["cores"], seed=m["seed"], machine=machine, status=heard.status)


def _rate(amount: float, microseconds: int) -> float:
    return round(amount * 1e6 / microseconds, 2) if microseconds else 0.0
