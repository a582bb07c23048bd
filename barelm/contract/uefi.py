"""UEFI by its own names: table offsets (x86-64), GUIDs, status codes, constants.  Data only (UEFI 2.10)."""

from __future__ import annotations

import uuid

import numpy as np

from barelm.dialect.structs import Struct, UInt8, UInt16, UInt32, room
from barelm.dialect.types import U8, U16


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


# EFI_SYSTEM_TABLE (4.3)
REVISION = 8
FIRMWARE_VENDOR = 24
FIRMWARE_REVISION = 32
CONSOLE_IN_HANDLE = 40
CON_IN = 48
CONSOLE_OUT_HANDLE = 56
CON_OUT = 64
RUNTIME_SERVICES = 88
BOOT_SERVICES = 96

# EFI_BOOT_SERVICES (4.4)
ALLOCATE_PAGES = 40
FREE_PAGES = 48
GET_MEMORY_MAP = 56
FREE_POOL = 72
CREATE_EVENT = 80
SET_TIMER = 88
WAIT_FOR_EVENT = 96
CLOSE_EVENT = 112
INSTALL_PROTOCOL_INTERFACE = 128
UNINSTALL_PROTOCOL_INTERFACE = 144
HANDLE_PROTOCOL = 152
STALL = 248
SET_WATCHDOG_TIMER = 256
CONNECT_CONTROLLER = 264
OPEN_PROTOCOL = 280
CLOSE_PROTOCOL = 288
LOCATE_HANDLE_BUFFER = 312
LOCATE_PROTOCOL = 320

# EFI_RUNTIME_SERVICES (4.5)
GET_TIME = 24
RESET_SYSTEM = 104

# EFI_SIMPLE_TEXT_INPUT_PROTOCOL (12.3), EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL (12.4)
READ_KEY_STROKE = 8
WAIT_FOR_KEY = 16
OUTPUT_STRING = 8
QUERY_MODE = 24
SET_ATTRIBUTE = 40
CLEAR_SCREEN = 48
SET_CURSOR_POSITION = 56
MODE = 72
CURSOR_ROW = 16  # in SIMPLE_TEXT_OUTPUT_MODE

SCAN_ESC = 0x17  # appendix B

# EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL (12.2): the bits of KeyShiftState
READ_KEY_STROKE_EX = 8
CONTROL_PRESSED = 0x0C
RIGHT_ALT_PRESSED = 0x10
LEFT_ALT_PRESSED = 0x20

# EFI_SERIAL_IO_PROTOCOL (12.8), SERIAL_IO_MODE
SERIAL_SET_ATTRIBUTES = 16
SERIAL_GET_CONTROL = 32
SERIAL_WRITE = 40
SERIAL_READ = 48
SERIAL_MODE = 56
SERIAL_TIMEOUT = 4
SERIAL_BAUD_RATE = 8
SERIAL_RECEIVE_FIFO_DEPTH = 16
SERIAL_DATA_BITS = 20
SERIAL_PARITY = 24
SERIAL_STOP_BITS = 28
SERIAL_INPUT_BUFFER_EMPTY = 0x100

# Events (7.1), finding and opening protocols (7.3)
EVT_TIMER = 0x80000000
TIMER_RELATIVE = 2
BY_PROTOCOL = 2
OPEN_EXCLUSIVE = 0x20

# EFI_GRAPHICS_OUTPUT_PROTOCOL (12.9.2), its MODE and MODE_INFORMATION, EFI_GRAPHICS_PIXEL_FORMAT, BLT_OPERATION
GRAPHICS_QUERY_MODE = 0
GRAPHICS_SET_MODE = 8
GRAPHICS_BLT = 16
GRAPHICS_MODE = 24
GRAPHICS_MAX_MODE = 0
GRAPHICS_MODE_NUMBER = 4
GRAPHICS_INFO = 8
FRAME_BUFFER_BASE = 24
FRAME_BUFFER_SIZE = 32
HORIZONTAL_RESOLUTION = 4
VERTICAL_RESOLUTION = 8
PIXEL_FORMAT = 12
PIXELS_PER_SCAN_LINE = 32
PIXEL_RGBX = 0
PIXEL_BGRX = 1
BLT_VIDEO_FILL = 0
BLT_BUFFER_TO_VIDEO = 2

# EFI_LOADED_IMAGE_PROTOCOL (9.1)
DEVICE_HANDLE = 24

# EFI_SIMPLE_FILE_SYSTEM_PROTOCOL (13.4), EFI_FILE_PROTOCOL (13.5)
OPEN_VOLUME = 8
OPEN = 8
CLOSE = 16
DELETE = 24
READ = 32
WRITE = 40
GET_POSITION = 48
SET_POSITION = 56
GET_INFO = 64
SET_INFO = 72
FLUSH = 80
FILE_MODE_READ = 1
FILE_MODE_CHANGE = 3
FILE_MODE_CREATE = -(1 << 63) | 3  # to be read, written, and created where it is missing
DIRECTORY = 0x10  # an attribute
INFO_FILE_SIZE = 8  # in EFI_FILE_INFO
INFO_MODIFIED = 56
INFO_NAME = 80
END_OF_FILE = -1

# EFI_MP_SERVICES_PROTOCOL (PI specification 1.8, volume 2, 13.4)
GET_NUMBER_OF_PROCESSORS = 0
STARTUP_ALL_APS = 16

# EFI_ALLOCATE_TYPE, EFI_MEMORY_TYPE (7.2)
ALLOCATE_ANY_PAGES = 0
ALLOCATE_MAX_ADDRESS = 1
LOADER_DATA = 2

# EFI_RESET_TYPE (8.5.1)
RESET_COLD = 0
RESET_SHUTDOWN = 2

# EFI_MEMORY_TYPE, as a memory map counts
BOOT_SERVICES_CODE = 3
BOOT_SERVICES_DATA = 4
RUNTIME_SERVICES_CODE = 5
RUNTIME_SERVICES_DATA = 6
CONVENTIONAL_MEMORY = 7

# EFI_STATUS (appendix D), without the error bit that `Failure` and the reports add
EFI_SUCCESS = 0
EFI_LOAD_ERROR = 1
EFI_INVALID_PARAMETER = 2
EFI_UNSUPPORTED = 3
EFI_NOT_READY = 6
EFI_DEVICE_ERROR = 7
EFI_WRITE_PROTECTED = 8
EFI_OUT_OF_RESOURCES = 9
EFI_VOLUME_CORRUPTED = 10
EFI_VOLUME_FULL = 11
EFI_NOT_FOUND = 14
EFI_TIMEOUT = 18
EFI_ABORTED = 21
EFI_INCOMPATIBLE_VERSION = 25
EFI_CRC_ERROR = 27


def _guid(text: str) -> U8:
    return np.frombuffer(uuid.UUID(text).bytes_le, np.uint8).copy()


LOADED_IMAGE_PROTOCOL = _guid("5b1b31a1-9562-11d2-8e3f-00a0c969723b")
FILE_INFO = _guid("09576e92-6d3f-11d2-8e39-00a0c969723b")
SIMPLE_FILE_SYSTEM_PROTOCOL = _guid("964e5b22-6459-11d2-8e39-00a0c969723b")
SIMPLE_TEXT_INPUT_EX_PROTOCOL = _guid("dd9e7534-7762-4698-8c14-f58517a625aa")
SERIAL_IO_PROTOCOL = _guid("bb25cf6f-f1d4-11d2-9a0c-0090273fc1fd")
MP_SERVICES_PROTOCOL = _guid("3fdda605-a76e-4f46-ad29-12f4531b3d08")
GRAPHICS_OUTPUT_PROTOCOL = _guid("9042a9de-23dc-4a38-96fb-7aded080516a")
BARELM_WORKSPACE = _guid("6d61ae62-7265-4d4c-b0a7-626172656c6d")  # ours
