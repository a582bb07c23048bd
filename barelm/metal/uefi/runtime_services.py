"""Calls into the firmware: the clock, the end of the machine (UEFI 8.3, 8.5), and its TPM (TCG EFI Protocol 6.6)."""

from barelm.contract import uefi
from barelm.contract.uefi_protocols import RuntimeServices, Tcg2
from barelm.dialect.memory import address_of
from barelm.dialect.processor import call_efi
from barelm.dialect.types import I64, U8
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import locate_protocol


def get_time(fw: Firmware, now: I64) -> int:
    """EFI_TIME (8.3.1) into two words; returns the status."""
    return call_efi(RuntimeServices(fw.runtime).get_time, (address_of(now), 0))


def reset_system(fw: Firmware, kind: int, status: int) -> int:
    """Shut down or restart; returns only where the firmware cannot."""
    return call_efi(RuntimeServices(fw.runtime).reset_system, (kind, status, 0, 0))


def find_tpm(fw: Firmware) -> int:
    """The TPM's protocol, or 0."""
    return locate_protocol(fw, uefi.TCG2_PROTOCOL)


def extend_pcr(tpm: int, data: U8, event: U8) -> int:
    """Have data hashed into a register, and an event written to the log, which says which; returns the status."""
    return call_efi(Tcg2(tpm).hash_log_extend_event, (tpm, 0, address_of(data), len(data), address_of(event)))


def submit_command(tpm: int, command: U8, answer: U8) -> int:
    """Have it obey a command; returns the bytes of its answer, 0 where it refuses or cannot."""
    status = call_efi(Tcg2(tpm).submit_command,
                      (tpm, len(command), address_of(command), len(answer), address_of(answer)))
    n = int(answer[4]) << 8 | int(answer[5])
    return n if status == 0 and int(answer[8]) | int(answer[9]) == 0 and n <= len(answer) else 0
