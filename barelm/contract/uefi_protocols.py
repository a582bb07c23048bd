"""UEFI's tables, protocols and data by field, in the specification's names and order (UEFI 2.10, PI 1.8, x86-64).

A field that is a service says in its note what the service takes: `n` a UINTN, UINT64, pointer, handle or event, `u` 32
bits, `b` a BOOLEAN or UINT8.
"""

from barelm.dialect.structs import Struct, UInt8, UInt16, UInt32, room
from barelm.dialect.types import U16


class TableHeader(Struct):
    """EFI_TABLE_HEADER (4.2)."""

    signature: int
    revision: UInt32
    header_size: UInt32
    crc32: UInt32
    reserved: UInt32


class SystemTable(TableHeader):
    """EFI_SYSTEM_TABLE (4.3)."""

    firmware_vendor: int
    firmware_revision: UInt32
    console_in_handle: int
    con_in: int
    console_out_handle: int
    con_out: int
    standard_error_handle: int
    std_err: int
    runtime_services: int
    boot_services: int
    number_of_table_entries: int
    configuration_table: int


class BootServices(TableHeader):
    """EFI_BOOT_SERVICES (4.4)."""

    raise_tpl: int = room(note="n")
    restore_tpl: int = room(note="n")
    allocate_pages: int = room(note="uunn")
    free_pages: int = room(note="nn")
    get_memory_map: int = room(note="nnnnn")
    allocate_pool: int = room(note="unn")
    free_pool: int = room(note="n")
    create_event: int = room(note="unnnn")
    set_timer: int = room(note="nun")
    wait_for_event: int = room(note="nnn")
    signal_event: int = room(note="n")
    close_event: int = room(note="n")
    check_event: int = room(note="n")
    install_protocol_interface: int = room(note="nnun")
    reinstall_protocol_interface: int = room(note="nnnn")
    uninstall_protocol_interface: int = room(note="nnn")
    handle_protocol: int = room(note="nnn")
    reserved_service: int
    register_protocol_notify: int = room(note="nnn")
    locate_handle: int = room(note="unnnn")
    locate_device_path: int = room(note="nnn")
    install_configuration_table: int = room(note="nn")
    load_image: int = room(note="bnnnnn")
    start_image: int = room(note="nnn")
    exit: int = room(note="nnnn")
    unload_image: int = room(note="n")
    exit_boot_services: int = room(note="nn")
    get_next_monotonic_count: int = room(note="n")
    stall: int = room(note="n")
    set_watchdog_timer: int = room(note="nnnn")
    connect_controller: int = room(note="nnnb")
    disconnect_controller: int = room(note="nnn")
    open_protocol: int = room(note="nnnnnu")
    close_protocol: int = room(note="nnnn")
    open_protocol_information: int = room(note="nnnn")
    protocols_per_handle: int = room(note="nnn")
    locate_handle_buffer: int = room(note="unnnn")
    locate_protocol: int = room(note="nnn")
    install_multiple_protocol_interfaces: int = room(note="n")
    uninstall_multiple_protocol_interfaces: int = room(note="n")
    calculate_crc32: int = room(note="nnn")
    copy_mem: int = room(note="nnn")
    set_mem: int = room(note="nnb")
    create_event_ex: int = room(note="unnnnn")


class RuntimeServices(TableHeader):
    """EFI_RUNTIME_SERVICES (4.5)."""

    get_time: int = room(note="nn")
    set_time: int = room(note="n")
    get_wakeup_time: int = room(note="nnn")
    set_wakeup_time: int = room(note="bn")
    set_virtual_address_map: int = room(note="nnun")
    convert_pointer: int = room(note="nn")
    get_variable: int = room(note="nnnnn")
    get_next_variable_name: int = room(note="nnn")
    set_variable: int = room(note="nnunn")
    get_next_high_monotonic_count: int = room(note="n")
    reset_system: int = room(note="unnn")
    update_capsule: int = room(note="nnn")
    query_capsule_capabilities: int = room(note="nnnn")
    query_variable_info: int = room(note="unnn")


class MemoryDescriptor(Struct):
    """EFI_MEMORY_DESCRIPTOR (7.2.3)."""

    type: UInt32
    physical_start: int
    virtual_start: int
    number_of_pages: int
    attribute: int


class Time(Struct):
    """EFI_TIME (8.3.1)."""

    year: UInt16
    month: UInt8
    day: UInt8
    hour: UInt8
    minute: UInt8
    second: UInt8
    nanosecond: UInt32
    time_zone: UInt16
    daylight: UInt8


class LoadedImage(Struct):
    """EFI_LOADED_IMAGE_PROTOCOL (9.1)."""

    revision: UInt32
    parent_handle: int
    system_table: int
    device_handle: int
    file_path: int
    reserved: int
    load_options_size: UInt32
    load_options: int
    image_base: int
    image_size: int
    image_code_type: UInt32
    image_data_type: UInt32
    unload: int = room(note="n")


class OpenProtocolInformation(Struct):
    """EFI_OPEN_PROTOCOL_INFORMATION_ENTRY (7.3.11): who has a protocol open."""

    agent_handle: int
    controller_handle: int
    attributes: UInt32
    open_count: UInt32


class SimpleTextInputEx(Struct):
    """EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL (12.2)."""

    reset: int = room(note="nb")
    read_key_stroke_ex: int = room(note="nn")
    wait_for_key_ex: int
    set_state: int = room(note="nn")
    register_key_notify: int = room(note="nnnn")
    unregister_key_notify: int = room(note="nn")


class SimpleTextInput(Struct):
    """EFI_SIMPLE_TEXT_INPUT_PROTOCOL (12.3)."""

    reset: int = room(note="nb")
    read_key_stroke: int = room(note="nn")
    wait_for_key: int


class InputKey(Struct):
    """EFI_INPUT_KEY (12.3.3)."""

    scan_code: UInt16
    unicode_char: UInt16


class KeyData(InputKey):
    """EFI_KEY_DATA (12.2.3): a key, and the state of the keys that shift it."""

    shift_state: UInt32
    toggle_state: UInt8


class SimpleTextOutput(Struct):
    """EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL (12.4)."""

    reset: int = room(note="nb")
    output_string: int = room(note="nn")
    test_string: int = room(note="nn")
    query_mode: int = room(note="nnnn")
    set_mode: int = room(note="nn")
    set_attribute: int = room(note="nn")
    clear_screen: int = room(note="n")
    set_cursor_position: int = room(note="nnn")
    enable_cursor: int = room(note="nb")
    mode: int


class SimpleTextOutputMode(Struct):
    """SIMPLE_TEXT_OUTPUT_MODE (12.4.1)."""

    max_mode: UInt32
    mode: UInt32
    attribute: UInt32
    cursor_column: UInt32
    cursor_row: UInt32
    cursor_visible: UInt8


class SerialIo(Struct):
    """EFI_SERIAL_IO_PROTOCOL (12.8)."""

    revision: UInt32
    reset: int = room(note="n")
    set_attributes: int = room(note="nnuuubu")
    set_control: int = room(note="nu")
    get_control: int = room(note="nn")
    write: int = room(note="nnn")
    read: int = room(note="nnn")
    mode: int


class SerialIoMode(Struct):
    """SERIAL_IO_MODE (12.8.2)."""

    control_mask: UInt32
    timeout: UInt32
    baud_rate: int
    receive_fifo_depth: UInt32
    data_bits: UInt32
    parity: UInt32
    stop_bits: UInt32


class GraphicsOutput(Struct):
    """EFI_GRAPHICS_OUTPUT_PROTOCOL (12.9.2)."""

    query_mode: int = room(note="nunn")
    set_mode: int = room(note="nu")
    blt: int = room(note="nnunnnnnnn")
    mode: int


class GraphicsOutputMode(Struct):
    """EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE (12.9.2)."""

    max_mode: UInt32
    mode: UInt32
    info: int
    size_of_info: int
    frame_buffer_base: int
    frame_buffer_size: int


class GraphicsOutputModeInformation(Struct):
    """EFI_GRAPHICS_OUTPUT_MODE_INFORMATION (12.9.2.1)."""

    version: UInt32
    horizontal_resolution: UInt32
    vertical_resolution: UInt32
    pixel_format: UInt32
    red_mask: UInt32
    green_mask: UInt32
    blue_mask: UInt32
    reserved_mask: UInt32
    pixels_per_scan_line: UInt32


class SimpleFileSystem(Struct):
    """EFI_SIMPLE_FILE_SYSTEM_PROTOCOL (13.4)."""

    revision: int
    open_volume: int = room(note="nn")


class FileProtocol(Struct):
    """EFI_FILE_PROTOCOL (13.5)."""

    revision: int
    open: int = room(note="nnnnn")
    close: int = room(note="n")
    delete: int = room(note="n")
    read: int = room(note="nnn")
    write: int = room(note="nnn")
    get_position: int = room(note="nn")
    set_position: int = room(note="nn")
    get_info: int = room(note="nnnn")
    set_info: int = room(note="nnnn")
    flush: int = room(note="n")
    open_ex: int = room(note="nnnnnn")  # from revision 2 on
    read_ex: int = room(note="nn")
    write_ex: int = room(note="nn")
    flush_ex: int = room(note="nn")


class FileIoToken(Struct):
    """EFI_FILE_IO_TOKEN (13.5.7)."""

    event: int
    status: int
    buffer_size: int
    buffer: int


class FileInfo(Struct):
    """EFI_FILE_INFO (13.5.16); the name ends with a zero, however long the room for it is."""

    size: int
    file_size: int
    physical_size: int
    create_time: Time
    last_access_time: Time
    modification_time: Time
    attribute: int
    file_name: U16 = room(256)


class FileSystemInfo(Struct):
    """EFI_FILE_SYSTEM_INFO (13.5.17); the label ends with a zero."""

    size: int
    read_only: UInt8
    volume_size: int
    free_space: int
    block_size: UInt32
    volume_label: U16 = room(16)


class Tcg2(Struct):
    """EFI_TCG2_PROTOCOL (TCG EFI Protocol Specification 1.00, 6)."""

    get_capability: int = room(note="nn")
    get_event_log: int = room(note="nunnn")
    hash_log_extend_event: int = room(note="nnnnn")
    submit_command: int = room(note="nunun")
    get_active_pcr_banks: int = room(note="nn")
    set_active_pcr_banks: int = room(note="nu")
    get_result_of_set_active_pcr_banks: int = room(note="nnn")


class MpServices(Struct):
    """EFI_MP_SERVICES_PROTOCOL (PI 1.8, volume 2, 13.4)."""

    get_number_of_processors: int = room(note="nnn")
    get_processor_info: int = room(note="nnn")
    startup_all_aps: int = room(note="nnbnnnn")
    startup_this_ap: int = room(note="nnnnnnn")
    switch_bsp: int = room(note="nnb")
    enable_disable_ap: int = room(note="nnbn")
    who_am_i: int = room(note="nn")


class GiveWay(Struct):
    """Ours, of a firmware whose processors are threads: code that any of them may call while it waits, without
    arguments, so that another one runs in its place; and how many run at a time.
    """

    code: int
    at_once: int
