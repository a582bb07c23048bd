"""A small program that serves: what comes it sends back, and a "Q" alone ends it."""

from __future__ import annotations

import functools

from barelm.aot.linking.link import link
from barelm.aot.object import compile_story
from barelm.contract import uefi
from barelm.contract.failure_record import FailureRecord
from barelm.contract.network.network_state import BROKEN, ENDED, OPEN
from barelm.contract.regions import Workspace
from barelm.dialect.rooms import metal
from barelm.metal import arena
from barelm.metal.console.sinks import close_line, close_screen, open_console
from barelm.metal.measuring import clock, greeting
from barelm.metal.network.connections import (
    Network,
    abandon_connection,
    connection_at,
    drop_received,
    finish_connection,
    room_to_send,
    send_bytes,
)
from barelm.metal.network.node_network import close_network, open_network, poll_network, wait_network
from barelm.metal.uefi.boot_services import disable_watchdog, open_firmware
from barelm.metal.uefi.handles import protocol_of
from barelm.metal.uefi.runtime_services import reset_system

PORT = 8080
LAST = 81


@metal
def echo(net: Network, k: int) -> bool:
    """Send back what came by a connection; whether it was the last word."""
    c = connection_at(net, k)
    n = min(c.n_received, room_to_send(c))
    is_last = c.n_received == 1 and c.received[0] == LAST
    if n > 0:
        send_bytes(net, k, c.received, 0, n)
        drop_received(c, n)
    if c.stage == BROKEN:
        abandon_connection(net, k)
    elif c.stage == ENDED and c.n_received == 0 or is_last:
        finish_connection(net, k)
    return is_last


@metal
def echo_all(net: Network) -> None:
    """Until somebody says the last word, and has been answered."""
    over = False
    while not over or net.state.n_in_use > 0:
        poll_network(net)
        for k in range(net.state.n_places):
            if net.state.in_use[k] != 0 and connection_at(net, k).stage in (OPEN, ENDED, BROKEN):
                over = echo(net, k) or over
        wait_network(net, 1000)


@metal
def main(image: int, table: int) -> int:
    """The program."""
    fw = open_firmware(image, table)
    disable_watchdog(fw)
    workspace = arena.open_workspace(fw)
    fw = arena.accountable(fw, workspace)
    b = workspace.board
    b.settings.port = PORT
    b.settings.report = 1
    b.figures.cycles_per_ms = clock.cycles_per_ms(fw)
    con = open_console(fw, b.settings, b.figures, workspace)
    net = open_network(con, b, workspace)
    echo_all(net)
    close_network(net)
    close_screen(con)
    close_line(con, True)
    arena.give_back(fw, workspace)
    reset_system(fw, uefi.RESET_SHUTDOWN, 0)
    return 0


@metal
def report_failure(image: int, table: int, failure: int) -> int:
    """What went wrong, and all given back by the ledger alone."""
    fw = open_firmware(image, table)
    place = protocol_of(fw, image, uefi.BARELM_WORKSPACE)
    workspace = Workspace(place)
    fw = arena.accountable(fw, workspace)
    b = workspace.board
    status = greeting.say_failure(open_console(fw, b.settings, b.figures, workspace), FailureRecord(failure))
    arena.give_back(fw, workspace)
    return status


@metal
def idle(board: int) -> int:
    """A worker that does nothing."""
    return board


@functools.cache
def program() -> bytes:
    """Compiled; seconds."""
    return link(compile_story(main, report_failure, idle))
