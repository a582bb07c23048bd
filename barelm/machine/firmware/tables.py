"""UEFI's tables as this firmware answers for them: the contract's by the specification's own names."""

import functools
import re

from barelm.contract import uefi, uefi_protocols
from barelm.contract.network import network_protocols
from barelm.contract.uefi_protocols import TableHeader
from barelm.dialect.structs import Struct

ERROR = 1 << 63  # the bit of an EFI_STATUS that is an error (appendix D)
_SPELLED = {"tpl": "TPL", "ap": "AP", "aps": "APs", "bsp": "BSP", "mcast": "MCast"}


def table_name(kind: type[Struct]) -> str:
    """What the specification calls a table: SerialIo is "EFI_SERIAL_IO_PROTOCOL"."""
    words = "_".join(re.findall("[A-Z][a-z0-9]*", kind.__name__)).upper()
    is_named = issubclass(kind, TableHeader) or words.endswith("_PROTOCOL")
    return f"EFI_{words}" if is_named else f"EFI_{words}_PROTOCOL"


def service_name(kind: type[Struct], field: str) -> str:
    """What it calls a service, the table before it: "EFI_BOOT_SERVICES.AllocatePages"."""
    return f"{table_name(kind)}.{_spelled(field)}"


@functools.cache
def _spelled(field: str) -> str:
    return "".join(_SPELLED.get(word, word.capitalize()) for word in field.split("_"))


def guid_of(protocol: type[Struct]) -> bytes:
    """The 16 bytes that name a protocol."""
    return bytes(getattr(uefi, table_name(protocol).removeprefix("EFI_")))


TABLES = [kind for module in (uefi_protocols, network_protocols) for kind in vars(module).values()
          if isinstance(kind, type) and issubclass(kind, Struct)]

SERVICES: dict[str, str] = {service_name(kind, name): field.note
                            for kind in TABLES for name, field in kind.FIELDS.items() if field.note}
"""Every service there is by its name, with the kinds of its arguments."""
