"""Reading on in an answer: the token just chosen, with guesses behind it where they pay.

A guess is a token of the session like any other until another one is chosen in its place: then `place` says that
nothing is cached from there on, and what was read too much is read over.
"""

from barelm.contract import board, layout
from barelm.dialect.processor import cycles
from barelm.kernels.lookup import begin_guesses, count_pass, follow, guesses_that_pay
from barelm.metal.conversation.talk import Talk, transcript_of
from barelm.metal.processors.cores import command, place


def begin_reading(t: Talk, n: int) -> None:
    """An answer begins behind n ids, which are read."""
    if t.settings.lookup != 0:
        begin_guesses(t.conversation.guesses, transcript_of(t).tokens, n)


def is_right(t: Talk, n: int, token: int) -> bool:
    """Whether the token chosen behind n ids is a guess that is read already."""
    return bool(t.job.row < t.job.guessed and transcript_of(t).tokens[n] == token)


def read_on(t: Talk, n: int, end: int, right: bool) -> None:
    """Have the logits behind n ids, of which the last was chosen just now; an answer has ids up to `end`."""
    job = t.job
    guesses = t.conversation.guesses
    tokens = transcript_of(t).tokens
    if t.settings.lookup != 0:
        follow(guesses, tokens, n)
    if right:
        job.row += 1
        t.figures.n_right += 1
        return
    job.row = 0
    job.guessed = 0
    if t.settings.lookup != 0:  # the last token of an answer is never read
        job.guessed = guesses_that_pay(guesses, min(end - n, min(t.header.batch, layout.LOGIT_ROWS)) - 1)
        for k in range(job.guessed):
            place(job, tokens, n + k, int(tokens[guesses.at + k]))
    t.figures.n_guessed += job.guessed
    began = cycles()
    command(job, board.DECODE, n - 1)
    count_pass(guesses, job.guessed, cycles() - began)


def end_reading(t: Talk, n: int) -> None:
    """An answer ended at n ids: as much is cached as if there had been no guesses."""
    t.job.row = 0
    t.job.guessed = 0
    t.job.cached = min(t.job.cached, n if t.figures.ended == board.ENDED_ITSELF else n - 1)
