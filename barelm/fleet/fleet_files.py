"""`barelm fleet`: from one inventory all that others need to start, balance, wake and watch its nodes."""

import sys
from pathlib import Path

from barelm import pipeline
from barelm.commands.make import signer_of
from barelm.commands.progress import ProgressBar
from barelm.fleet.boot_server import BOOT_FILE, bootable, dnsmasq_for_fleet, web_url
from barelm.fleet.front_ends import haproxy, litellm, llama_swap, prometheus
from barelm.fleet.inventory import FleetNode, Inventory, read_inventory
from barelm.fleet.netboot import boot_files, told, write_folder
from barelm.pipeline import Order, Packing
from barelm.settings import Settings
from barelm.trust.signed_data import Signer

NETBOOT = "netboot"


def write_fleet(path: Path, folder: Path, key: Path | None, certificate: Path | None) -> int:
    """Write the folder."""
    signer = signer_of(key, certificate)
    inventory = read_inventory(path)
    with ProgressBar() as bar:
        files: dict[str, Path | bytes] = {
            "haproxy.cfg": haproxy(inventory), "litellm.yaml": litellm(inventory),
            "llama-swap.yaml": llama_swap(inventory), **prometheus(inventory)}
        started = bootable(inventory.nodes) if inventory.server else []
        files |= netboot_files(inventory, started, folder, signer, bar)
        bar.step(f"Writing {folder}")
        write_folder(folder, files, bar.progress)
    print(f"{folder}: {len(inventory.nodes)} nodes, {len(started)} of them start over the network", file=sys.stderr)
    return 0


def netboot_files(inventory: Inventory, nodes: list[FleetNode], folder: Path, signer: Signer | None, bar: ProgressBar
                  ) -> dict[str, Path | bytes]:
    """A folder for each node, as its model and its settings are its own; and dnsmasq's configuration for all."""
    files: dict[str, Path | bytes] = {}
    if not nodes:
        return files
    program = pipeline.built_program(bar)
    for node in nodes:
        order = order_of(node)
        model = pipeline.packed_model(order.model, None, order.packing, bar)
        pipeline.check_asked(model, order.settings, bar)
        files |= {f"{NETBOOT}/{node.name}/{name}": content
                  for name, content in boot_files(model, order, program, signer).items()}
    return {**files, f"{NETBOOT}/README.txt": told(f"{len(nodes)} nodes", web_url(inventory), f"NODE/{BOOT_FILE}"),
            f"{NETBOOT}/dnsmasq.conf": dnsmasq_for_fleet(folder.absolute() / NETBOOT, inventory)}


def order_of(node: FleetNode) -> Order:
    """What a node is asked for."""
    asked = Settings(serve=True, key=node.key, port=node.port, slots=node.slots, slot_context=node.context)
    return Order(node.model, packing=Packing(context=node.context), settings=asked)
