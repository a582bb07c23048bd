"""Time from the cycle counter, measured once against the firmware's own wait."""

from barelm.dialect.processor import cycles
from barelm.metal.uefi.boot_services import Firmware, stall

WAIT_US = 4000


def cycles_per_ms(fw: Firmware) -> int:
    """How far the counter advances in a millisecond: the least of three waits, for a wait is never too short."""
    least = 0
    for _ in range(3):
        before = cycles()
        stall(fw, WAIT_US)
        took = cycles() - before
        if least == 0 or took < least:
            least = took
    return max(least * 1000 // WAIT_US, 1)


def microseconds(n_cycles: int, per_ms: int) -> int:
    """Cycles as microseconds."""
    return n_cycles * 1000 // per_ms
