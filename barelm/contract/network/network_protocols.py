"""UEFI's network by field, as `uefi_protocols` has the rest: interfaces, their addresses, and TCP (UEFI 2.10, 11.1, 24,
28).

An address of IPv4 is four bytes in the order they are written in, wherever they lie.
"""

from barelm.dialect.structs import Array, Struct, UInt8, UInt16, UInt32, room
from barelm.dialect.types import U8, U16


class ServiceBinding(Struct):
    """EFI_SERVICE_BINDING_PROTOCOL (11.6): makes the children that each have one connection, or a place to listen."""

    create_child: int = room(note="nn")
    destroy_child: int = room(note="nn")


class Ip4Config2(Struct):
    """EFI_IP4_CONFIG2_PROTOCOL (28.5): where an interface has its address from."""

    set_data: int = room(note="nunn")
    get_data: int = room(note="nunn")
    register_data_notify: int = room(note="nun")
    unregister_data_notify: int = room(note="nun")


class Ip4InterfaceInfo(Struct):
    """EFI_IP4_CONFIG2_INTERFACE_INFO (28.5): the table of routes lies behind it, each three addresses."""

    name: U16 = room(32)
    if_type: UInt8
    hw_address_size: UInt32
    hw_address: U8 = room(32)
    station_address: U8 = room(4)
    subnet_mask: U8 = room(4)
    route_table_size: UInt32
    route_table: int


class SimpleNetwork(Struct):
    """EFI_SIMPLE_NETWORK_PROTOCOL (24.1): an interface itself."""

    revision: int
    start: int = room(note="n")
    stop: int = room(note="n")
    initialize: int = room(note="nnn")
    reset: int = room(note="nb")
    shutdown: int = room(note="n")
    receive_filters: int = room(note="nuubnn")
    station_address: int = room(note="nbn")
    statistics: int = room(note="nbnn")
    mcast_ip_to_mac: int = room(note="nbnn")
    nv_data: int = room(note="nbnnn")
    get_status: int = room(note="nnn")
    transmit: int = room(note="nnnnnnn")
    receive: int = room(note="nnnnnnn")
    wait_for_packet: int
    mode: int


class SimpleNetworkMode(Struct):
    """EFI_SIMPLE_NETWORK_MODE (24.1)."""

    state: UInt32
    hw_address_size: UInt32
    media_header_size: UInt32
    max_packet_size: UInt32
    nv_ram_size: UInt32
    nv_ram_access_size: UInt32
    receive_filter_mask: UInt32
    receive_filter_setting: UInt32
    max_mcast_filter_count: UInt32
    mcast_filter_count: UInt32
    mcast_filter: U8 = room(16 * 32)
    current_address: U8 = room(32)
    broadcast_address: U8 = room(32)
    permanent_address: U8 = room(32)
    if_type: UInt8
    mac_address_changeable: UInt8
    multiple_tx_supported: UInt8
    media_present_supported: UInt8
    media_present: UInt8


class Tcp4(Struct):
    """EFI_TCP4_PROTOCOL (28.1)."""

    get_mode_data: int = room(note="nnnnnn")
    configure: int = room(note="nn")
    routes: int = room(note="nbnnn")
    connect: int = room(note="nn")
    accept: int = room(note="nn")
    transmit: int = room(note="nn")
    receive: int = room(note="nn")
    close: int = room(note="nn")
    cancel: int = room(note="nn")
    poll: int = room(note="n")


class Tcp4AccessPoint(Struct):
    """EFI_TCP4_ACCESS_POINT (28.1.4): who talks to whom."""

    use_default_address: UInt8
    station_address: U8 = room(4)
    subnet_mask: U8 = room(4)
    station_port: UInt16
    remote_address: U8 = room(4)
    remote_port: UInt16
    active_flag: UInt8


class Tcp4Option(Struct):
    """EFI_TCP4_OPTION (28.1.4); times in seconds."""

    receive_buffer_size: UInt32
    send_buffer_size: UInt32
    max_syn_back_log: UInt32
    connection_timeout: UInt32
    data_retries: UInt32
    fin_timeout: UInt32
    time_wait_timeout: UInt32
    keep_alive_probes: UInt32
    keep_alive_time: UInt32
    keep_alive_interval: UInt32
    enable_nagle: UInt8
    enable_time_stamp: UInt8
    enable_window_scaling: UInt8
    enable_selective_ack: UInt8
    enable_path_mtu_discovery: UInt8


class Tcp4ConfigData(Struct):
    """EFI_TCP4_CONFIG_DATA (28.1.4)."""

    type_of_service: UInt8
    time_to_live: UInt8
    access_point: Tcp4AccessPoint
    control_option: int


class Tcp4Token(Struct):
    """EFI_TCP4_COMPLETION_TOKEN (28.1.7), and alone EFI_TCP4_CONNECTION_TOKEN: what a firmware is to do, and how it
    went.
    """

    event: int
    status: int


class Tcp4ListenToken(Tcp4Token):
    """EFI_TCP4_LISTEN_TOKEN (28.1.8)."""

    new_child_handle: int


class Tcp4IoToken(Tcp4Token):
    """EFI_TCP4_IO_TOKEN (28.1.9)."""

    packet: int


class Tcp4CloseToken(Tcp4Token):
    """EFI_TCP4_CLOSE_TOKEN (28.1.11)."""

    abort_on_close: UInt8


class Tcp4Fragment(Struct):
    """EFI_TCP4_FRAGMENT_DATA (28.1.9)."""

    fragment_length: UInt32
    fragment_buffer: int


class Tcp4Data(Struct):
    """EFI_TCP4_RECEIVE_DATA and, its first word two flags, EFI_TCP4_TRANSMIT_DATA (28.1.9), of one fragment."""

    flags: UInt32  # received: urgent; sent: push, and from bit 8 on urgent
    data_length: UInt32
    fragment_count: UInt32
    fragments: Array[Tcp4Fragment] = room(1)
