"""What is had of the firmware is noted when it is taken, and struck out when it is given back."""

from barelm.contract import uefi
from barelm.contract.regions import MOST_HOLDINGS, NOTHING, Ledger
from barelm.dialect.rooms import Failure


def note(address: int, kind: int, what: int, which: int) -> None:
    """Note a holding in the ledger at an address; 0: there is none yet."""
    if address == 0:
        return
    ledger = Ledger(address)
    k = 0
    while k < ledger.n and ledger.holdings[k].kind != NOTHING:
        k += 1
    if k == MOST_HOLDINGS:
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, "more is open at once than this program keeps account of",
                      "This is a bug; please report it with the names of the files on the volume.")
    ledger.n = max(ledger.n, k + 1)
    ledger.holdings[k].kind = kind
    ledger.holdings[k].what = what
    ledger.holdings[k].which = which


def strike(address: int, kind: int, what: int) -> None:
    """Strike a holding out."""
    if address == 0:
        return
    ledger = Ledger(address)
    for k in range(ledger.n):
        if ledger.holdings[k].kind == kind and ledger.holdings[k].what == what:
            ledger.holdings[k].kind = NOTHING
