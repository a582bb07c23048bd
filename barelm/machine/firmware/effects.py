"""What a firmware does wrong other than to return an error: success with less, with something else, or with nothing.

An effect takes the arguments of a service and the service itself, does what it does, and returns a status.
"""

import ctypes
import time
from collections.abc import Callable

from barelm.contract import uefi
from barelm.contract.network import network_protocols as net
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.tables import ERROR

Effect = Callable[[list[int], Callable[[], int]], int]

EFFECTS: dict[str, Effect] = {}
"""By name."""

_WARNING = 3  # EFI_WARN_WRITE_FAILURE
_HUGE = (1 << 63) - 1
_SLOW_S = 0.7


def _effect(function: Effect) -> Effect:
    EFFECTS[function.__name__] = function
    return function


@_effect
def nothing(arguments: list[int], service: Callable[[], int]) -> int:
    """Success, and nothing is done."""
    return uefi.EFI_SUCCESS


@_effect
def warning(arguments: list[int], service: Callable[[], int]) -> int:
    """A warning, and nothing is done."""
    return _WARNING


@_effect
def slow(arguments: list[int], service: Callable[[], int]) -> int:
    """What was asked for, late."""
    time.sleep(_SLOW_S)
    return service()


@_effect
def half(arguments: list[int], service: Callable[[], int]) -> int:
    """Read, Write: half of what was asked for."""
    guest.put_word(arguments[1], guest.word(arguments[1]) // 2)
    return service()


@_effect
def none(arguments: list[int], service: Callable[[], int]) -> int:
    """Read, Write: success with no byte; Open, OpenVolume: with a null pointer for a handle."""
    guest.put_word(arguments[1], 0)
    return uefi.EFI_SUCCESS


@_effect
def more(arguments: list[int], service: Callable[[], int]) -> int:
    """Read: a count larger than what was asked for."""
    status = service()
    guest.put_word(arguments[1], guest.word(arguments[1]) * 2 + 7)
    return status


@_effect
def flipped(arguments: list[int], service: Callable[[], int]) -> int:
    """Read: a bit of the first byte is another."""
    status = service()
    if status == 0 and guest.word(arguments[1]):
        ctypes.c_ubyte.from_address(arguments[2]).value ^= 1
    return status


@_effect
def stale(arguments: list[int], service: Callable[[], int]) -> int:
    """Read: the right count, and the buffer as it was."""
    kept = guest.read_bytes(arguments[2], guest.word(arguments[1]))
    status = service()
    guest.put_bytes(arguments[2], kept)
    return status


@_effect
def far(arguments: list[int], service: Callable[[], int]) -> int:
    """GetPosition, GetNumberOfProcessors: a number without measure."""
    guest.put_word(arguments[1], _HUGE)
    return uefi.EFI_SUCCESS


@_effect
def ones(arguments: list[int], service: Callable[[], int]) -> int:
    """GetTime: every bit is set."""
    guest.put_bytes(arguments[0], b"\xff" * 16)
    return uefi.EFI_SUCCESS


@_effect
def nowhere(arguments: list[int], service: Callable[[], int]) -> int:
    """QueryMode of a text console: no columns, no rows."""
    guest.put_words(arguments[2], 0)
    guest.put_words(arguments[3], 0)
    return uefi.EFI_SUCCESS


@_effect
def steps(arguments: list[int], service: Callable[[], int]) -> int:
    """GetMemoryMap: descriptors of one byte."""
    status = service()
    guest.put_word(arguments[3], 1)
    return status


@_effect
def waits(arguments: list[int], service: Callable[[], int]) -> int:
    """GetControl: something waits to be read, always."""
    status = service()
    ctypes.c_uint32.from_address(arguments[1]).value &= ~0x100  # EFI_SERIAL_INPUT_BUFFER_EMPTY
    return status


def _ends(status: int, handle: int | None = None, length: int | None = None) -> Effect:
    """A token ends at once: with a status; of a listener with a child, of a transfer with so many bytes."""
    def effect(arguments: list[int], service: Callable[[], int]) -> int:
        guest.put_word(arguments[1] + net.Tcp4Token.offset_of("status"), status)
        if handle is not None:
            net.Tcp4ListenToken(arguments[1]).new_child_handle = handle
        if length is not None:
            net.Tcp4Data(int(net.Tcp4IoToken(arguments[1]).packet)).data_length = length
        return uefi.EFI_SUCCESS
    return effect


EFFECTS |= {"ends_failed": _ends(ERROR | uefi.EFI_DEVICE_ERROR), "ends_aborted": _ends(ERROR | uefi.EFI_ABORTED),
            "ends_closed": _ends(ERROR | uefi.EFI_CONNECTION_FIN), "ends_warned": _ends(_WARNING),
            "ends_empty": _ends(0, length=0), "ends_long": _ends(0, length=(1 << 32) - 1),
            "ends_alone": _ends(0, handle=0), "ends_strange": _ends(0, handle=0x77)}


@_effect
def lies(arguments: list[int], service: Callable[[], int]) -> int:
    """GetModeData: every bit of what is asked for is set."""
    for at, n_bytes in zip(arguments[1:], (4, net.Tcp4ConfigData.BYTES)):
        if at:
            guest.put_bytes(at, b"\xff" * n_bytes)
    return uefi.EFI_SUCCESS


@_effect
def elsewhere(arguments: list[int], service: Callable[[], int]) -> int:
    """GetData: another address."""
    status = service()
    if status == 0 and arguments[1] == uefi.IP4_INTERFACE_INFO:
        guest.put_bytes(arguments[3] + net.Ip4InterfaceInfo.offset_of("station_address"), b"\x0a\x00\x02\x63")
    return status


@_effect
def unplugged(arguments: list[int], service: Callable[[], int]) -> int:
    """GetStatus: no cable is in."""
    status = service()
    net.SimpleNetworkMode(int(net.SimpleNetwork(arguments[0]).mode)).media_present = 0
    return status
