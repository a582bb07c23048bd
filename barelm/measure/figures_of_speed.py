"""What a measurement found, as a share of what the machine could do: rows of a table, of JSON, spots in a plot.

An operation is a multiplication or an addition: two a weight and token, and two for every component of a key and a
value that is looked at.  Read are, once a pass, the weights and the keys and values; a pass is one token when
decoding, and a batch of them when a prompt is read.
"""

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from barelm.contract.layout import Header
from barelm.contract.sections import CLASSIFIER, EMBEDDING, MATRICES, POSITIONS, W2, W13
from barelm.kernels.decoder.cache import item_bytes
from barelm.kernels.decoder.model import section_layers, section_rows
from barelm.measure.machine_limits import Limits

FORMAT = 1
PREFILL, DECODE = "prefill", "decode"


@dataclass(frozen=True)
class Work:
    """What a token costs: operations, and bytes that have to come from memory."""

    ops: float
    n_bytes: float
    floats: bool  # whether most weights are multiplied as floats

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.ops / self.n_bytes


@dataclass(frozen=True)
class Figure:
    """One program, model, task and number of cores; tokens a second of every round."""

    program: str
    model: str
    what: str
    context: int
    cores: int
    tokens: int
    runs: tuple[float, ...]
    work: Work

    @property
    def tokens_s(self) -> float:
        """The median."""
        return statistics.median(self.runs)

    @property
    def ops_s(self) -> float:
        """Operations a second."""
        return self.tokens_s * self.work.ops

    def share(self, limits: Limits) -> float:
        """Of what the machine could do at most with so many cores."""
        return self.ops_s / limits.attainable(self.work.ops, self.work.n_bytes, self.work.floats)

    def as_json(self, limits: Limits) -> dict[str, Any]:
        """A row of `rows`."""
        return {"program": self.program, "model": self.model, "what": self.what, "context": self.context,
                "cores": self.cores, "tokens": self.tokens, "tokens_s": round(self.tokens_s, 2),
                "runs": [round(run, 2) for run in self.runs], "ops_per_token": round(self.work.ops),
                "bytes_per_token": round(self.work.n_bytes), "share": round(self.share(limits), 3)}


def work_of(header: Header, what: str, position: int) -> Work:
    """What a token costs around a position; of a mixture, with the experts that one uses."""
    head = CLASSIFIER if header.sections[CLASSIFIER].n_bytes else EMBEDDING
    ops = n_bytes = weights = 0.0
    for number in MATRICES:
        if number == POSITIONS or number in (EMBEDDING, CLASSIFIER) and (number != head or what == PREFILL):
            continue
        used = header.n_experts_used / header.n_experts if header.n_experts and number in (W13, W2) else 1.0
        cols = header.hidden_dim if number == W2 else header.dim
        of_section = used * section_rows(header, number) * section_layers(header, number) * cols
        weights += of_section
        n_bytes += used * int(header.sections[number].n_bytes)
    floats = n_bytes >= 2 * weights  # two bytes a weight: no integers
    ops = 2 * weights + 4 * header.n_layers * header.q_dim * position
    n_bytes += 2 * header.n_layers * header.kv_dim * position * item_bytes(int(header.kv_kind))
    return Work(ops, n_bytes / (header.batch if what == PREFILL else 1), floats)


def report_of(figures: list[Figure], limits: list[Limits], machine: str) -> dict[str, Any]:
    """Everything, for programs; docs/MEASURING.md says what the keys mean."""
    by_cores = {limit.cores: limit for limit in limits}
    return {"format": FORMAT, "machine": machine, "limits": [asdict(limit) for limit in limits],
            "rows": [figure.as_json(by_cores[figure.cores]) for figure in figures]}


def table_of(figures: list[Figure], limits: list[Limits]) -> list[str]:
    """A table in Markdown, as the README has it: barelm's rows, and beside each the others'."""
    by_cores = {limit.cores: limit for limit in limits}
    lines = ["| model | what | cores | barelm, tokens/s | of the limit | beside it |", "|---|---|---|---|---|---|"]
    for figure in figures:
        if figure.program != "barelm":
            continue
        others = [f"{rival.program} {rate(rival.tokens_s)}, x{figure.tokens_s / rival.tokens_s:.2f}"
                  for rival in figures if rival.program != "barelm" and same_task(rival, figure) and rival.tokens_s]
        lines.append(f"| {figure.model} | {figure.what} at {figure.context} | {figure.cores} | {rate(figure.tokens_s)} "
                     f"| {figure.share(by_cores[figure.cores]):.0%} | {'; '.join(others) or '-'} |")
    lines += ["", "| limits of this machine | cores | measured |", "|---|---|---|"]
    for limit in limits:
        lines += [f"| memory is read at | {limit.cores} | {limit.read_bytes_s / 1e9:.1f} GB/s |",
                  f"| int8 is multiplied at | {limit.cores} | {limit.int8_ops_s / 1e9:.0f} Gop/s |",
                  f"| float32 is multiplied at | {limit.cores} | {limit.float_ops_s / 1e9:.0f} Gop/s |"]
    return lines


def same_task(a: Figure, b: Figure) -> bool:
    """Whether two programs did the same."""
    return (a.model, a.what, a.context, a.cores) == (b.model, b.what, b.context, b.cores)


def rate(tokens_s: float) -> str:
    """Tokens a second in a table."""
    return f"{tokens_s:,.0f}" if tokens_s >= 100 else f"{tokens_s:.1f}"
