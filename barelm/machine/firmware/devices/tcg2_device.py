"""A TPM as far as a program measures with it: EFI_TCG2_PROTOCOL (TCG EFI Protocol Specification 1.00)."""

import hashlib
import struct

from barelm.contract import uefi
from barelm.contract.uefi_protocols import Tcg2
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.services import service

N_PCRS = 24
_EVENT = "<IIHII"  # size of all, of the header, its version, register, kind; packed
_HEADER_BYTES = 14
_MOST_BYTES = 1 << 16


class Tpm:
    """`pcrs`, the registers of its SHA-256 bank, and `log`: register, kind, and the event's own bytes."""

    def __init__(self) -> None:
        self.pcrs = [bytes(32)] * N_PCRS
        self.log: list[tuple[int, int, bytes]] = []

    @service(Tcg2)
    def hash_log_extend_event(self, this: int, flags: int, data: int, n: int, event: int) -> None:
        """6.6: the register becomes the hash of itself and the data's hash."""
        require(data and event)
        size, header, version, pcr, kind = struct.unpack(_EVENT, guest.read_bytes(event, struct.calcsize(_EVENT)))
        require(header == _HEADER_BYTES and version == 1 and struct.calcsize(_EVENT) <= size <= _MOST_BYTES)
        require(pcr < N_PCRS and n <= _MOST_BYTES)
        digest = hashlib.sha256(guest.read_bytes(data, n)).digest()
        self.pcrs[pcr] = hashlib.sha256(self.pcrs[pcr] + digest).digest()
        self.log.append((pcr, kind, guest.read_bytes(event, size)[struct.calcsize(_EVENT):]))

    @service(Tcg2)
    def get_active_pcr_banks(self, this: int, banks: int) -> None:
        """6.8: SHA-256 alone."""
        guest.put_bytes(banks, struct.pack("<I", uefi.BOOT_HASH_SHA256))
