"""Guesses at what an answer says next: what followed where the session said the same before (Saxena 2023).

A pass over several tokens has the bits of one after the other, so whoever reads guesses with the next token and drops
the wrong ones changes nothing but the time.  How often a guess comes true is counted at every token, whether it was
read or not, and what a longer pass takes is measured; so guesses are read where they pay, and only there.  A draft
model would say what comes next in place of `look_up`.
"""

from barelm.contract.conversation_state import GUESS_CLASSES, MOST_GUESSES, Guesses
from barelm.dialect.types import I64

ONE = 1024
"""Shares and costs are in parts of it."""
GAIN = ONE + ONE // 8
"""Guesses are read where more tokens than this are to be had in the time of one."""
MOSTLY = ONE * 3 // 4
"""Where guesses come true so often, passes are tried whose cost is not known."""
FIRST_TRY = 3
"""The most guesses read before it is known what that takes."""
CLIP = 2
"""A pass that took so many times what was expected met something else; more does not count."""

LEAST_ALIKE, MOST_ALIKE = 2, 64
"""Ids that have to be alike for a guess, and the most that are compared."""


def begin_guesses(g: Guesses, tokens: I64, n: int) -> None:
    """Begin an answer behind n ids.  What is known of costs stays, but for those of a single token, as a longer context
    takes longer: so the first token is read alone.
    """
    g.single = 0
    for k in range(GUESS_CLASSES):
        g.share[k] = ONE * (2 * k + 3) // 10
    look_up(g, tokens, n)


def look_up(g: Guesses, tokens: I64, n: int) -> None:
    """Where, before the end of n ids, most of the last are alike; of several places the last."""
    g.at = 0
    g.alike = LEAST_ALIKE - 1
    for at in range(n - 1, 0, -1):
        if tokens[at - 1] == tokens[n - 1]:
            alike = 1
            while alike < min(at, MOST_ALIKE) and tokens[at - 1 - alike] == tokens[n - 1 - alike]:
                alike += 1
            if alike > g.alike:
                g.at = at
                g.alike = alike


def follow(g: Guesses, tokens: I64, n: int) -> None:
    """The last of n ids is new: count whether it is what would have been guessed, and go on there, or look anew."""
    if g.at > 0:
        k = class_of(g.alike)
        came = tokens[g.at] == tokens[n - 1]
        g.share[k] += ((ONE if came else 0) - g.share[k]) >> 3
        if came:
            g.at += 1
            g.alike += 1
            return
    look_up(g, tokens, n)


def class_of(alike: int) -> int:
    """Guesses are counted together whose lengths are alike: from 2, 4, 8 and 16 ids on."""
    k = 0
    while k < GUESS_CLASSES - 1 and alike >= 2 * LEAST_ALIKE << k:
        k += 1
    return k


def guesses_that_pay(g: Guesses, most: int) -> int:
    """How many guesses to read with the next token: tokens[g.at] and what follows it."""
    if g.at == 0 or g.single == 0:
        return 0
    share = int(g.share[class_of(g.alike)])
    reached = expected = ONE
    best = GAIN
    chosen = 0
    if not knows_costs(g):
        most = min(most, FIRST_TRY)
    for n in range(1, min(most, MOST_GUESSES) + 1):
        reached = reached * share // ONE
        expected += reached
        gain = expected * ONE // cost_of(g, n)
        if gain > best and (g.cost[n - 1] > 0 or share >= MOSTLY):
            best = gain
            chosen = n
    if chosen == 0 and share >= MOSTLY:
        forget_costs(g)
    return chosen


def knows_costs(g: Guesses) -> bool:
    """Whether guesses have been read before."""
    for k in range(MOST_GUESSES):
        if g.cost[k] > 0:
            return True
    return False


def cost_of(g: Guesses, n: int) -> int:
    """What reading n guesses with a token takes; as the nearest size known has it, in proportion; else little."""
    for far in range(MOST_GUESSES):
        for m in (n + far, n - far):
            if 0 < m <= MOST_GUESSES and g.cost[m - 1] > 0:
                return ONE + (int(g.cost[m - 1]) - ONE) * n // m
    return ONE + n * ONE // 4


def forget_costs(g: Guesses) -> None:
    """A chance was passed over: believe a little less in what was measured, so that it is tried again at some time."""
    for k in range(MOST_GUESSES):
        g.cost[k] -= g.cost[k] >> 9


def count_pass(g: Guesses, n: int, took: int) -> None:
    """A pass over a token and n guesses took so many cycles."""
    if n == 0:
        g.single = took if g.single == 0 else g.single + (min(took, CLIP * g.single) - g.single) // 8
        return
    cost = min(took * ONE // max(g.single, 1), CLIP * ONE * (n + 1))
    g.cost[n - 1] += (cost - g.cost[n - 1]) // (1 if g.cost[n - 1] == 0 else 4)
