"""Calls into the firmware: the clock, and the end of the machine (UEFI 8.3, 8.5)."""

from barelm.contract.uefi_protocols import RuntimeServices
from barelm.dialect.memory import address_of
from barelm.dialect.processor import call_efi
from barelm.dialect.types import I64
from barelm.metal.uefi.boot_services import Firmware


def get_time(fw: Firmware, now: I64) -> int:
    """EFI_TIME (8.3.1) into two words; returns the status."""
    return call_efi(RuntimeServices(fw.runtime).get_time, (address_of(now), 0))


def reset_system(fw: Firmware, kind: int, status: int) -> int:
    """Shut down or restart; returns only where the firmware cannot."""
    return call_efi(RuntimeServices(fw.runtime).reset_system, (kind, status, 0, 0))
