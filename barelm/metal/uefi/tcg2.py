"""Calls into the firmware: the TPM (TCG EFI Protocol Specification 1.00, 6.6)."""

from barelm.contract import uefi
from barelm.contract.uefi_protocols import Tcg2
from barelm.dialect.memory import address_of
from barelm.dialect.processor import call_efi
from barelm.dialect.types import U8
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import locate_protocol


def find_tpm(fw: Firmware) -> int:
    """The TPM's protocol, or 0."""
    return locate_protocol(fw, uefi.TCG2_PROTOCOL)


def extend_pcr(tpm: int, data: U8, event: U8) -> int:
    """Have data hashed into a register, and an event written to the log, which says which; returns the status."""
    return call_efi(Tcg2(tpm).hash_log_extend_event, (tpm, 0, address_of(data), len(data), address_of(event)))
