"""Network cards: found, their cables and addresses looked after, listened at."""

from barelm.contract import uefi
from barelm.contract.network.network_protocols import Ip4InterfaceInfo, Tcp4ConfigData, Tcp4ListenToken, Tcp4Option
from barelm.contract.network.network_state import (
    ASLEEP,
    LEAVING,
    LISTENING,
    MOST_ACCEPTS,
    MOST_INTERFACES,
    NO_ADDRESS,
    Interface,
)
from barelm.dialect.memory import address_of, cells, fill_bytes, memory
from barelm.dialect.processor import cycles
from barelm.dialect.sentences import Sentence, sentence
from barelm.metal.console.sinks import ALARM, DIM, TEXT
from barelm.metal.console.writing import put, say
from barelm.metal.network.addresses import address_in, mask_of, prefix_of, put_address
from barelm.metal.network.connections import (
    Network,
    abandon_connection,
    begin_connection,
    connection_at,
    cut_connection,
)
from barelm.metal.uefi.answers import ERROR, failure_of
from barelm.metal.uefi.handles import handle_with, protocol_of
from barelm.metal.uefi.network.interface_state import (
    NO_CABLE,
    ask_for_address,
    interface_info,
    look_at_cable,
)
from barelm.metal.uefi.network.service_binding import create_child, destroy_child, note_child
from barelm.metal.uefi.network.tcp4 import NOT_SAID, PENDING, accept_tcp, add_route, configure_tcp, tcp_peer, tcp_state

LOOK_MS, ASK_MS = 1000, 250
"""How often cable and address are looked at: of a card that is in use, and of one that waits."""
GRACE_MS = 30_000
"""How long a card may be without its address before nobody waits for it any more."""
QUIET_MS = 10_000
"""How long nobody may have been refused by the firmware before it is said to serve again."""
BACKLOG, HOPS, WINDOW = 10, 64, 64 << 10
RETRIES = 12
NOTHING, WAITS, UNPLUGGED, REFUSED, SERVES = range(5)
"""What was last said of a card."""


def find_interfaces(net: Network) -> None:
    """Every card that the firmware has TCP on."""
    fw = net.con.fw
    state = net.state
    k = 0
    handle = handle_with(fw, uefi.TCP4_SERVICE_BINDING_PROTOCOL, 0)
    while handle != 0 and state.n_interfaces < MOST_INTERFACES:
        card = state.interfaces[state.n_interfaces]
        fill_bytes(card.address, 0, Interface.BYTES)
        card.binding = protocol_of(fw, handle, uefi.TCP4_SERVICE_BINDING_PROTOCOL)
        card.config = protocol_of(fw, handle, uefi.IP4_CONFIG2_PROTOCOL)
        card.network = protocol_of(fw, handle, uefi.SIMPLE_NETWORK_PROTOCOL)
        state.n_interfaces += int(card.binding != 0)
        k += 1
        handle = handle_with(fw, uefi.TCP4_SERVICE_BINDING_PROTOCOL, k)


def look_after(net: Network, i: int) -> None:
    """See whether the cable is in and which address there is, and listen there; say what has changed."""
    card = net.state.interfaces[i]
    card.looked_at = cycles()
    cable = look_at_cable(card.network)
    card.cable = cable
    if card.stage == ASLEEP and (net.state.fixed.ip != 0 or card.config == 0 or ask_for_address(card.config) == 0):
        card.stage = NO_ADDRESS
    if card.stage == LISTENING:
        check_address(net, i)
    if cable == NO_CABLE:
        tell(net, i, UNPLUGGED, ALARM, sentence("no cable is in.", ()))
    elif card.stage == LISTENING:
        tell_address(net, i)
    if card.stage != LISTENING:
        start_listening(net, i)


def current_address(net: Network, card: Interface) -> int:
    """The address of a card, with its prefix, or the last one where the firmware fails; 0: it has none."""
    fixed = net.state.fixed
    if fixed.ip != 0:
        card.prefix = fixed.prefix
        return fixed.ip
    if card.config == 0 or not interface_info(card.config, net.state.info):
        return card.ip  # which the firmware knows alone
    info = Ip4InterfaceInfo(address_of(net.state.info))
    card.prefix = prefix_of(address_in(info.subnet_mask))
    return address_in(info.station_address)


def check_address(net: Network, i: int) -> None:
    """See whether a card still has its address, and listens.

    A firmware that asks for it anew, as once the cable was out, has none meanwhile, and most often is given the same.
    """
    card = net.state.interfaces[i]
    address = current_address(net, card)
    state = tcp_state(card.tcp)
    listens = state == uefi.TCP4_LISTEN or state == NOT_SAID or card.shows == 0
    if address == card.ip and listens:
        card.held_at = cycles()
    elif address != 0 or cycles() - card.held_at > GRACE_MS * net.cycles_per_ms:
        leave_address(net, i)


def leave_address(net: Network, i: int) -> None:
    """The address is another one, or taken back: nobody who has come to it is reached any more.

    Nor would the firmware let anybody listen at a port that such a connection still has.
    """
    stop_listening(net, i)
    card = net.state.interfaces[i]
    card.told = NOTHING
    for k in range(net.state.n_places):
        c = connection_at(net, k)
        if net.state.in_use[k] != 0 and c.interface == i:
            if c.stage == LEAVING:
                abandon_connection(net, k)
            else:
                cut_connection(net, k)


def start_listening(net: Network, i: int) -> None:
    """Listen at a card, where it has an address by now; asking the firmware to is what has it look for one."""
    fw = net.con.fw
    card = net.state.interfaces[i]
    if card.listener == 0:
        card.listener = create_child(fw, card.binding)
        card.tcp = protocol_of(fw, card.listener, uefi.TCP4_PROTOCOL) if card.listener != 0 else 0
    status = configure_listener(net, card) if card.tcp != 0 else uefi.EFI_OUT_OF_RESOURCES
    if status == 0:
        card.stage = LISTENING
        card.held_at = cycles()
        card.shows = int(tcp_state(card.tcp) == uefi.TCP4_LISTEN)
        card.ip = current_address(net, card)
        if card.ip == 0 and tcp_peer(card.tcp, net.state.config_data) == 0:
            card.ip = address_in(net.state.config_data.access_point.station_address)
        for k in range(MOST_ACCEPTS):
            card.accepts[k].event = net.state.accepted[k]
            card.accepts[k].status = 0
            card.accepts[k].new_child_handle = 0
        ask_for_peers(net, i)
        if card.cable != NO_CABLE and card.stage == LISTENING:
            tell_address(net, i)
    else:
        tell_refusal(net, i, status)


def configure_listener(net: Network, card: Interface) -> int:
    """Say to the firmware where to listen; returns the status."""
    state = net.state
    data = state.config_data
    fill_bytes(data.address, 0, Tcp4ConfigData.BYTES)
    data.time_to_live = HOPS
    point = data.access_point
    point.station_port = state.port
    point.use_default_address = int(state.fixed.ip == 0)
    if state.fixed.ip != 0:
        put_address(point.station_address, state.fixed.ip)
        put_address(point.subnet_mask, mask_of(state.fixed.prefix))
    option = state.option
    fill_bytes(option.address, 0, Tcp4Option.BYTES)
    option.receive_buffer_size = WINDOW
    option.send_buffer_size = WINDOW
    option.max_syn_back_log = BACKLOG
    option.data_retries = RETRIES
    option.enable_window_scaling = 1
    data.control_option = option.address
    status = configure_tcp(card.tcp, data)
    if status == 0 and state.fixed.gateway != 0:
        words = cells(2)
        words[1] = state.fixed.gateway
        gateway = memory(address_of(words) + 8, 4)
        put_address(gateway, state.fixed.gateway)
        nothing = memory(address_of(words), 4)
        add_route(card.tcp, nothing, nothing, gateway)
    return status


def stop_listening(net: Network, i: int) -> None:
    """Give back the child that listens, and who has come meanwhile and was not seen."""
    fw = net.con.fw
    card = net.state.interfaces[i]
    card.stage = NO_ADDRESS
    if card.listener == 0:
        return
    destroy_child(fw, card.binding, card.listener)
    card.listener = 0
    card.tcp = 0
    for k in range(MOST_ACCEPTS):
        token = card.accepts[k]
        if token.status == 0 and token.new_child_handle != 0:
            note_child(fw, card.binding, token.new_child_handle)
            destroy_child(fw, card.binding, token.new_child_handle)
        token.status = 0
        token.new_child_handle = 0


def listen_anew(net: Network, i: int, status: int) -> None:
    """The firmware lets nobody come: at the next look listening is begun anew."""
    stop_listening(net, i)
    tell_no_peer(net, i, status)


def tell_no_peer(net: Network, i: int, status: int) -> None:
    """Say that the firmware lets nobody come, who listens or not."""
    tell_refusal(net, i, status)
    net.state.interfaces[i].refused_at = cycles()


def take_peers(net: Network, i: int) -> None:
    """Give places to those who have come, and ask for more."""
    card = net.state.interfaces[i]
    idle = failed = status = 0
    for k in range(MOST_ACCEPTS):
        token = card.accepts[k]
        if token.status != PENDING:
            idle += 1
            handle = token.new_child_handle
            token.new_child_handle = 0
            if token.status == 0 and handle != 0 and not begin_connection(net, i, handle):
                tell_no_peer(net, i, end_of(token))
            elif token.status != 0:
                failed += 1
                status = end_of(token)
                token.status = 0
                card.looked_at -= LOOK_MS * net.cycles_per_ms  # something may be wrong: it is looked at again
    if failed == MOST_ACCEPTS:
        listen_anew(net, i, status)
    elif idle > 0:
        ask_for_peers(net, i)


def end_of(token: Tcp4ListenToken) -> int:
    """With which status a token ended that brought no peer."""
    return failure_of(token.status) if token.status != 0 else ERROR | uefi.EFI_DEVICE_ERROR


def ask_for_peers(net: Network, i: int) -> None:
    """Ask for as many as there are places for; who comes beside them waits in the firmware.

    Where the firmware lets none of them be asked for, listening is begun anew.
    """
    card = net.state.interfaces[i]
    pending = refused = 0
    for k in range(MOST_ACCEPTS):
        pending += int(card.accepts[k].status == PENDING)
    for k in range(MOST_ACCEPTS):
        token = card.accepts[k]
        has_ended = token.status != PENDING and token.new_child_handle == 0  # who came just now is still to be seen
        if has_ended and net.state.n_in_use + pending < net.state.n_places:
            status = accept_tcp(card.tcp, token)
            if status == 0 and (token.status == PENDING or token.new_child_handle != 0):
                pending += 1
            else:
                refused = status if status != 0 else end_of(token)
                token.status = 0
    if pending == 0 and refused != 0:
        listen_anew(net, i, refused)


def tell_refusal(net: Network, i: int, status: int) -> None:
    """Say that the firmware does not let anybody listen, or not yet."""
    code = status & 0xFF
    if code != uefi.EFI_NO_MAPPING and code != uefi.EFI_NO_MEDIA and code != uefi.EFI_NOT_READY:
        tell(net, i, REFUSED, ALARM, sentence("the firmware lets nobody listen (status {:x16}).", (status,)))
    elif net.state.interfaces[i].cable != NO_CABLE:
        tell(net, i, WAITS, DIM, sentence("waits for an address.", ()))


def tell_address(net: Network, i: int) -> None:
    """Say where the node is reached; while the firmware refuses again and again, nothing."""
    card = net.state.interfaces[i]
    ip = card.ip
    if card.told == REFUSED and cycles() - card.refused_at < QUIET_MS * net.cycles_per_ms:
        return
    tell(net, i, SERVES, TEXT, sentence("serves at http://{}.{}.{}.{}:{}/", (
        ip >> 24 & 0xFF, ip >> 16 & 0xFF, ip >> 8 & 0xFF, ip & 0xFF, net.state.port)))


def tell(net: Network, i: int, what: int, colour: int, s: Sentence) -> None:
    """Say something of a card, unless it was what was said last."""
    card = net.state.interfaces[i]
    if card.told == what:
        return
    card.told = what
    if net.state.n_interfaces > 1:
        put(net.con, sentence("Network card {}: ", (i + 1,)))
    else:
        put(net.con, sentence("Network: ", ()))
    say(net.con, colour, s)
