"""dnsmasq's configuration: whom it answers, and which program it tells a machine to start (RFC 4578, UEFI 24.7.3)."""

from collections.abc import Sequence
from ipaddress import IPv4Interface
from pathlib import Path

from barelm.errors import BarelmError
from barelm.fleet.inventory import FleetNode, Inventory

BOOT_FILE = "barelm.efi"
PXE_ARCHITECTURES = (7, 9)
"""What firmware for x86-64 says that it is: both are in use."""
HTTP_ARCHITECTURE = 16
_NOT_IN_A_LINE = "\"\n\r\0#"


def dnsmasq_for_any(folder: Path, address: str, url: str, lease: tuple[str, str] | None) -> bytes:
    """For any machine that asks: with addresses to give away it is the network's DHCP server, without it stands beside
    that server and answers PXE alone.
    """
    lines = _beginning(folder)
    if lease is None:
        lines += ["# Beside the network's own DHCP server, for PXE.  HTTP boot needs that server to say option 60, "
                  "HTTPClient,", f"# and {url}{BOOT_FILE} as the boot file; or --range, and none but this one.",
                  f"dhcp-range={address},proxy"]
        lines += [f'pxe-service={system},"barelm",{BOOT_FILE}' for system in ("BC_EFI", "X86-64_EFI")]
    else:
        lines += [f"dhcp-range={lease[0]},{lease[1]},12h", *_boot("", BOOT_FILE, url)]
    return _ended(lines)


def dnsmasq_for_fleet(folder: Path, inventory: Inventory) -> bytes:
    """For the nodes of an inventory alone: each has its address, and a folder of its own."""
    server = IPv4Interface(inventory.server)
    lines = [*_beginning(folder), "# Nobody else gets an address here.",
             f"dhcp-range={server.network.network_address},static,{server.netmask},12h"]
    lines += [f"dhcp-option=option:router,{inventory.router}" if inventory.router else "dhcp-option=option:router"]
    for node in bootable(inventory.nodes):
        lines += ["", f"dhcp-host={node.mac},set:{node.name},{node.address},{node.name}",
                  *_boot(f"tag:{node.name},", f"{node.name}/{BOOT_FILE}", web_url(inventory))]
    return _ended(lines)


def bootable(nodes: Sequence[FleetNode]) -> list[FleetNode]:
    """The nodes that start from the network."""
    return [node for node in nodes if node.mac]


def web_url(inventory: Inventory) -> str:
    """Where its web server has the folder."""
    return f"http://{IPv4Interface(inventory.server).ip}{f':{inventory.web_port}' * (inventory.web_port != 80)}/"


def _beginning(folder: Path) -> list[str]:
    if any(c in str(folder) for c in _NOT_IN_A_LINE):
        raise BarelmError(f"dnsmasq cannot be told of the folder {folder}", "Give it a plainer name.")
    return ["# Written by barelm.  As root: dnsmasq --no-daemon --conf-file=dnsmasq.conf",
            "port=0", "log-dhcp", "enable-tftp", f'tftp-root="{folder}"',
            *(f"dhcp-match=set:pxe,option:client-arch,{number}" for number in PXE_ARCHITECTURES),
            f"dhcp-match=set:http,option:client-arch,{HTTP_ARCHITECTURE}",
            "dhcp-option-force=tag:http,60,HTTPClient"]


def _boot(tag: str, file: str, url: str) -> list[str]:
    return [f"dhcp-boot={tag}tag:pxe,{file}", f'dhcp-boot={tag}tag:http,"{url}{file}"']


def _ended(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
