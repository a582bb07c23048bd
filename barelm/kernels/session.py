"""A session: the prompt's ids go in, the answer's come out one by one.  No input, no output, only the state."""

from typing import NamedTuple

from barelm.contract import layout
from barelm.contract.board import Batch
from barelm.contract.layout import Header
from barelm.dialect.memory import address_of, cells
from barelm.dialect.types import Real, f32
from barelm.kernels.decoder.model import Config, Weights
from barelm.kernels.decoder.state import SessionTranscript, State
from barelm.kernels.decoder.transformer import forward
from barelm.kernels.sampler import Spared, penalise, sample
from barelm.kernels.team import Team

BATCH_WORDS = Batch.BYTES // 8


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
        read(c, w, s, pos, n, int(pos + n == end), team)


def decode(c: Config, w: Weights, s: State, pos: int, n: int, team: Team) -> None:
    """Read the n tokens from `pos` on; the logits of each.  Every core of the team makes the same call."""
    read(c, w, s, pos, n, n, team)


def read(c: Config, w: Weights, s: State, pos: int, n: int, n_logits: int, team: Team) -> None:
    """A pass over n tokens of the session, from `pos` on; the logits of the last n_logits of them.

    Keys and values of positions before `pos` must be in the cache.
    """
    words = cells(BATCH_WORDS)
    batch = Batch(address_of(words))
    batch.n_runs = 1
    run = batch.runs[0]
    run.tokens = address_of(s.tokens)
    run.cache = address_of(s.cache)
    run.positions = c.seq_len
    run.first = pos
    run.n = n
    run.n_logits = n_logits
    forward(c, w, s, batch, team)


def choose(c: Config, s: State, sampling: Sampling, n: int, row: int, spared: Spared) -> int:
    """The next token of the session, from the logits behind the first n of `tokens`: `choose_from`."""
    return choose_from(c, s, SessionTranscript(s.tokens, s.rng, s.logits[row]), sampling, n, spared)


def choose_from(c: Config, s: State, of: SessionTranscript, sampling: Sampling, n: int, spared: Spared) -> int:
    """The next token of a sequence of n, from a row of the logits: one core's work.

    The penalty for repetition and the draw change the logits in place, so each row serves one choice: to choose anew,
    read the last token again.
    """
    if sampling.repeat > f32(0) and sampling.repeat != f32(1):
        penalise(of.logits, of.tokens, n, sampling.repeat, spared)
    return sample(of.logits, s.order, of.rng, c.vocab_size, sampling.temperature, sampling.top_p, sampling.top_k,
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
