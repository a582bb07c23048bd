"""What a node keeps of its network: interfaces and addresses, and in memory of their own its connections."""

from barelm.contract.network.network_protocols import (
    Ip4InterfaceInfo,
    Tcp4CloseToken,
    Tcp4ConfigData,
    Tcp4Data,
    Tcp4IoToken,
    Tcp4ListenToken,
    Tcp4Option,
)
from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import I64, U8

MOST_CONNECTIONS, MOST_INTERFACES, MOST_ACCEPTS, MOST_ROUTES = 64, 4, 4, 16
RECEIVED_BYTES = (20 << 10) + (256 << 10)
"""The longest request: its head and its body."""
SENDING_BYTES = 256 << 10
LANDING_BYTES = 32 << 10
"""What the firmware is given to put bytes into, at a time: what is received may move meanwhile."""

CLOSED, OPEN, ENDED, BROKEN, LEAVING = range(5)
"""Stages of a connection: there is none; both may send; the peer sends no more; it is of no use any more, and to be
abandoned; it closes, and is no longer anybody's."""

ASLEEP, NO_ADDRESS, LISTENING = range(3)
"""Stages of an interface: nothing was asked of it yet; it waits for an address; peers may come."""


class Connection(Struct):
    """One peer."""

    stage: int
    serial: int  # counts connections: tells two users of one place apart
    active_at: int  # cycles when bytes last moved
    n_received: int
    n_to_send: int  # bytes in the ring `to_send`, from `first` on
    first: int
    interface: int  # the number of the one it came by
    handle: int  # the child of the firmware's service, and its protocol
    tcp: int
    receiving: int  # bytes asked for; 0: no token is under way
    sending: int  # bytes that are; 0: no token is
    finishing: int  # 1: it ends once all is sent
    closing: int  # 1: it was ended, and the peer has not yet done so
    closed_by: int  # cycles at which it is reset where it has not
    peer: int  # the address of the other end, as a number
    failure: int  # the status with which the firmware failed it, or was busy last; 0: it did not
    receive_token: Tcp4IoToken
    receive_data: Tcp4Data
    transmit_token: Tcp4IoToken
    transmit_data: Tcp4Data
    close_token: Tcp4CloseToken
    landing: U8 = room(LANDING_BYTES, align=64)
    received: U8 = room(RECEIVED_BYTES, align=64)
    to_send: U8 = room(SENDING_BYTES, align=64)


class Connections(Struct):
    """All of them; fewer where memory is short."""

    places: Array[Connection] = room(MOST_CONNECTIONS)


class Interface(Struct):
    """A network card that the firmware has TCP on."""

    stage: int
    binding: int  # addresses of protocols: the service that makes children,
    config: int  # who it has its address from; 0: nobody says
    network: int  # the card itself; 0: the firmware does not show it
    listener: int  # the child that listens, and its protocol
    tcp: int
    cable: int  # one of `metal.uefi.network.interface_state`
    ip: int  # its address, as a number; 0: none
    prefix: int  # its bits that name the network
    looked_at: int  # cycles when cable and address were last looked at
    held_at: int  # cycles when it was last seen to have its address
    told: int  # what was last said, one of `metal.network.interfaces`
    failure: int  # the last status said with which it failed a connection
    refused_at: int  # cycles when the firmware last let nobody come
    shows: int  # 1: who listens can be seen to listen
    accepts: Array[Tcp4ListenToken] = room(MOST_ACCEPTS)


class FixedAddress(Struct):
    """The node's own address, where the configuration has one."""

    ip: int  # as a number; 0: DHCP is asked
    prefix: int
    gateway: int  # 0: none


class NetworkState(Struct):
    """The network of a node; all zero where it does not serve."""

    n_interfaces: int
    interfaces: Array[Interface] = room(MOST_INTERFACES)
    fixed: FixedAddress
    port: int
    n_places: int
    places: int  # address of `Connections`
    in_use: U8 = room(MOST_CONNECTIONS)  # 1: a place has a connection
    n_in_use: int
    serial: int  # of the last connection
    arrived: int  # events: bytes came, bytes went, a connection closed,
    sent: int
    closed: int
    accepted: I64 = room(MOST_ACCEPTS)  # somebody came,
    timer: int  # time is over
    waited: I64 = room(MOST_ACCEPTS + 5)  # for what `wait_network` waits: the timer, keys, and those above
    config_data: Tcp4ConfigData
    option: Tcp4Option
    info: U8 = room(Ip4InterfaceInfo.BYTES + 12 * MOST_ROUTES)
