"""What a call into the firmware came to, decided here for all of them: done, absent, or failed with a status.

A status is an error where it is negative (UEFI appendix D).  A warning, which is positive, did not do what was asked,
and what comes with it is no handle; nor is 0, even with success.
"""

from barelm.contract import uefi

ERROR = -(1 << 63)
"""The bit of an error in a status."""


def failure_of(status: int) -> int:
    """0 where a call did what was asked; else a status that is negative, a warning's too."""
    return ERROR | status if status > 0 else status


def handle_of(status: int, handle: int) -> int:
    """What a call gave that gives handles or addresses: positive; 0: there is none; negative: it failed so."""
    if status == 0:
        return handle if handle > 0 else ERROR | uefi.EFI_DEVICE_ERROR
    return 0 if status == ERROR | uefi.EFI_NOT_FOUND else failure_of(status)
