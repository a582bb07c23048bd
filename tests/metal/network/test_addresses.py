"""Addresses as people write them and as the firmware has them."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract.network.network_state import FixedAddress
from barelm.contract.settings import Text
from barelm.metal.network.addresses import address_in, mask_of, prefix_of, put_address, read_fixed


def read(words: str) -> tuple[int, int, int] | None:
    """What a setting says."""
    fixed = FixedAddress.over(np.zeros(FixedAddress.BYTES, np.uint8))
    data = np.frombuffer(words.encode() + b"\0", np.uint8).copy()
    setting = Text.over(np.array([data.ctypes.data, len(words.encode())], np.int64))
    return (int(fixed.ip), int(fixed.prefix), int(fixed.gateway)) if read_fixed(setting, fixed) else None


@given(st.ip_addresses(v=4), st.integers(1, 30), st.booleans())
def test_what_is_written_is_read(address: ipaddress.IPv4Address, prefix: int, has_gateway: bool) -> None:
    own = ipaddress.ip_interface(f"{address}/{prefix}")
    gateway = own.network[1]
    is_fine = int(address) != 0 and not (has_gateway and gateway == address)
    said = f"{address}/{prefix}" + f" via {gateway}" * has_gateway
    assert read(said) == ((int(address), prefix, int(gateway) * has_gateway) if is_fine else None)


@pytest.mark.parametrize("words", [
    "192.168.1.5", "192.168.1.5/", "192.168.1/24", "192.168.1.256/24", "192.168.1.5/31", "192.168.1.5/0", "x", "/24",
    "192.168.1.5/24 ", "192.168.1.5/24 via", "192.168.1.5/24 via ", "192.168.1.5/24 via 192.168.1.1 ", "0.0.0.0/8",
    "192.168.1.5/24 VIA 192.168.1.1", "192.168.1.5/24 via 192.168.2.1", "192.168.1.5/24via 192.168.1.1",
    "192.168.1.5/24 via 192.168.1.5", "192.168.1.0005/24", "192..1.5/24", "fe80::1/64", "192.168.1.5/24 via 192.168.1"])
def test_what_is_none_is_refused(words: str) -> None:
    assert read(words) is None


def test_nothing_asks_for_dhcp() -> None:
    assert read("") == (0, 0, 0)


@given(st.text(max_size=40))
def test_nothing_is_read_behind_the_end(words: str) -> None:
    read(words)


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_bytes_and_masks(address: ipaddress.IPv4Address, prefix: int) -> None:
    place = np.zeros(4, np.uint8)
    put_address(place, int(address))
    assert place.tobytes() == address.packed and address_in(place) == int(address)
    assert prefix_of(mask_of(prefix)) == prefix
    assert mask_of(prefix) == int(ipaddress.IPv4Network((0, prefix)).netmask)
