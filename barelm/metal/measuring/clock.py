"""Time from the cycle counter, measured once against the firmware's own wait."""

from barelm.dialect.processor import counter_speed, cycles
from barelm.metal.uefi.boot_services import Firmware, stall

WAIT_US = 4000
SLOWEST, FASTEST = 50_000, 20_000_000
"""Cycles a millisecond: no counter is slower or faster.  A wait that says otherwise was none, or had no end."""
LIKELY = 2_000_000


def cycles_per_ms(fw: Firmware) -> int:
    """How far the counter advances in a millisecond: the least of three waits, for a wait is never too short.

    Some firmware's is: then what the processor says of itself counts, or else what is likely.
    """
    least = 0
    for _ in range(3):
        before = cycles()
        stall(fw, WAIT_US)
        took = cycles() - before
        if least == 0 or took < least:
            least = took
    measured = least * 1000 // WAIT_US
    if SLOWEST <= measured <= FASTEST:
        return measured
    said = counter_speed() // 1000
    return said if SLOWEST <= said <= FASTEST else LIKELY


def microseconds(n_cycles: int, per_ms: int) -> int:
    """Cycles as microseconds."""
    return n_cycles * 1000 // per_ms
