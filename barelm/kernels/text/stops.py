"""Stop strings: texts at which an answer ends, looked for while it is being made."""

from barelm.dialect.types import U8


def watch_stops(pending: U8, n: int, stops: U8) -> tuple[int, bool]:
    """How many bytes of pending[:n] may be shown, and whether a stop string follows them.

    `stops` holds texts, each with a zero behind it.  Where none is in `pending`, what could still become one when more
    bytes come is kept back.
    """
    free = n
    for at in range(n):
        lo = 0
        while lo < len(stops):
            hi = lo
            while hi < len(stops) and stops[hi] != 0:
                hi += 1
            same = 0
            while lo + same < hi and at + same < n and pending[at + same] == stops[lo + same]:
                same += 1
            if hi > lo and lo + same == hi:
                return at, True
            if hi > lo and at + same == n:
                free = min(free, at)
            lo = hi + 1
    return free, False
