"""A session: the prompt's ids go in, the answer's come out one by one.  No input, no output, only the state."""

from typing import NamedTuple

from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.dialect.types import Real, f32
from barelm.kernels.decoder.model import Config, Weights
from barelm.kernels.decoder.state import State
from barelm.kernels.decoder.transformer import forward
from barelm.kernels.sampler import Spared, penalise, sample
from barelm.kernels.team import Team


class Sampling(NamedTuple):
    """How the next token is chosen; `kernels.sampler` says in which order these apply."""

    temperature: Real  # 0: the most likely
    top_p: Real  # not inside (0, 1): no limit
    top_k: int  # 0: no limit
    min_p: Real  # 0: no limit
    repeat: Real  # the repetition penalty; 0 or 1: none


def prefill(c: Config, w: Weights, s: State, start: int, end: int, team: Team) -> None:
    """Read tokens[start : end]; the logits are the last one's.  Every core of the team makes the same call."""
    for pos in range(start, end, c.batch):
        n = min(c.batch, end - pos)
        forward(c, w, s, pos, n, int(pos + n == end), team)


def decode(c: Config, w: Weights, s: State, pos: int, n: int, team: Team) -> None:
    """Read the n tokens from `pos` on; the logits of each.  Every core of the team makes the same call."""
    forward(c, w, s, pos, n, n, team)


def choose(c: Config, s: State, sampling: Sampling, n: int, row: int, spared: Spared) -> int:
    """The next token, from the logits behind the first n of `tokens`, a row of those there are: one core's work.

    The penalty for repetition and the draw change the logits in place, so each row serves one choice: to choose anew,
    read the last token again.
    """
    if sampling.repeat > f32(0) and sampling.repeat != f32(1):
        penalise(s.logits[row], s.tokens, n, sampling.repeat, spared)
    return sample(s.logits[row], s.order, s.rng, c.vocab_size, sampling.temperature, sampling.top_p, sampling.top_k,
                  sampling.min_p)


def sum_with(total: int, number: int) -> int:
    """total · 1000003 + number + 1 modulo 2³²: the sum of numbers in order, that tells when one is lost or another."""
    return (total * 1000003 + number + 1) & 0xFFFFFFFF


def ends(header: Header, token: int) -> bool:
    """Whether `token` ends the answer: an end of sequence, or the beginning of another one."""
    if token == header.bos_id:
        return True
    for k in range(layout.N_EOS):
        if token == header.eos_ids[k]:
            return True
    return False
