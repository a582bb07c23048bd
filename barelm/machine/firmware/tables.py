"""UEFI's tables, protocols, status codes and GUIDs, by their names and in their order (specification 2.10, PI 1.8).

After each service its arguments: `n` a UINTN, UINT64, pointer, handle or event, `u` 32 bits, `b` a BOOLEAN or UINT8.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

# EFI_STATUS (appendix D)
_ERROR = 1 << 63
EFI_SUCCESS = 0
EFI_WARN_DELETE_FAILURE = 2
EFI_LOAD_ERROR = _ERROR | 1
EFI_INVALID_PARAMETER = _ERROR | 2
EFI_UNSUPPORTED = _ERROR | 3
EFI_BAD_BUFFER_SIZE = _ERROR | 4
EFI_BUFFER_TOO_SMALL = _ERROR | 5
EFI_NOT_READY = _ERROR | 6
EFI_DEVICE_ERROR = _ERROR | 7
EFI_WRITE_PROTECTED = _ERROR | 8
EFI_OUT_OF_RESOURCES = _ERROR | 9
EFI_VOLUME_CORRUPTED = _ERROR | 10
EFI_VOLUME_FULL = _ERROR | 11
EFI_NOT_FOUND = _ERROR | 14
EFI_ACCESS_DENIED = _ERROR | 15
EFI_TIMEOUT = _ERROR | 18
EFI_NOT_STARTED = _ERROR | 19
EFI_ALREADY_STARTED = _ERROR | 20
EFI_ABORTED = _ERROR | 21

# EFI_MEMORY_TYPE (7.2.1)
LOADER_CODE, LOADER_DATA, BOOT_SERVICES_DATA, CONVENTIONAL = 1, 2, 4, 7
RUNTIME_SERVICES_DATA = 6
MAX_MEMORY_TYPE = 16

# EFI_TPL (7.1)
TPL_APPLICATION, TPL_CALLBACK, TPL_NOTIFY, TPL_HIGH_LEVEL = 4, 8, 16, 31

REVISION_2_10 = 2 << 16 | 100


@dataclass(frozen=True)
class Layout:
    """A table as the program sees it: 64-bit words, each a service (with its arguments) or data (None)."""

    name: str
    words: tuple[tuple[str, str | None], ...]

    def index(self, field: str) -> int:
        """Which word a field is."""
        return [name for name, _ in self.words].index(field)

    @property
    def services(self) -> list[tuple[str, str]]:
        """(qualified name, arguments) of every service: "EFI_BOOT_SERVICES.AllocatePages"."""
        return [(f"{self.name}.{name}", kinds) for name, kinds in self.words if kinds is not None]


def _layout(name: str, text: str) -> Layout:
    """From "Field, Service(arguments), ..."."""
    words: list[tuple[str, str | None]] = []
    for part in text.replace("\n", " ").split(","):
        field, bracket, kinds = part.strip().rstrip(")").partition("(")
        words.append((field, kinds if bracket else None))
    return Layout(name, tuple(words))


HEADER = "Signature, RevisionAndSize, Crc32, "

SYSTEM_TABLE = _layout("EFI_SYSTEM_TABLE", HEADER + """FirmwareVendor, FirmwareRevision, ConsoleInHandle, ConIn,
    ConsoleOutHandle, ConOut, StandardErrorHandle, StdErr, RuntimeServices, BootServices, NumberOfTableEntries,
    ConfigurationTable""")

BOOT_SERVICES = _layout("EFI_BOOT_SERVICES", HEADER + """RaiseTPL(n), RestoreTPL(n), AllocatePages(uunn),
    FreePages(nn), GetMemoryMap(nnnnn), AllocatePool(unn), FreePool(n), CreateEvent(unnnn), SetTimer(nun),
    WaitForEvent(nnn), SignalEvent(n), CloseEvent(n), CheckEvent(n), InstallProtocolInterface(nnun),
    ReinstallProtocolInterface(nnnn), UninstallProtocolInterface(nnn), HandleProtocol(nnn), Reserved,
    RegisterProtocolNotify(nnn), LocateHandle(unnnn), LocateDevicePath(nnn), InstallConfigurationTable(nn),
    LoadImage(bnnnnn), StartImage(nnn), Exit(nnnn), UnloadImage(n), ExitBootServices(nn),
    GetNextMonotonicCount(n), Stall(n), SetWatchdogTimer(nnnn), ConnectController(nnnb),
    DisconnectController(nnn), OpenProtocol(nnnnnu), CloseProtocol(nnnn), OpenProtocolInformation(nnnn),
    ProtocolsPerHandle(nnn), LocateHandleBuffer(unnnn), LocateProtocol(nnn),
    InstallMultipleProtocolInterfaces(n), UninstallMultipleProtocolInterfaces(n), CalculateCrc32(nnn),
    CopyMem(nnn), SetMem(nnb), CreateEventEx(unnnnn)""")

RUNTIME_SERVICES = _layout("EFI_RUNTIME_SERVICES", HEADER + """GetTime(nn), SetTime(n), GetWakeupTime(nnn),
    SetWakeupTime(bn), SetVirtualAddressMap(nnun), ConvertPointer(nn), GetVariable(nnnnn),
    GetNextVariableName(nnn), SetVariable(nnunn), GetNextHighMonotonicCount(n), ResetSystem(unnn),
    UpdateCapsule(nnn), QueryCapsuleCapabilities(nnnn), QueryVariableInfo(unnn)""")

SIMPLE_TEXT_INPUT = _layout("EFI_SIMPLE_TEXT_INPUT_PROTOCOL", "Reset(nb), ReadKeyStroke(nn), WaitForKey")

SIMPLE_TEXT_INPUT_EX = _layout("EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL", """Reset(nb), ReadKeyStrokeEx(nn), WaitForKeyEx,
    SetState(nn), RegisterKeyNotify(nnnn), UnregisterKeyNotify(nn)""")

SIMPLE_TEXT_OUTPUT = _layout("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL", """Reset(nb), OutputString(nn), TestString(nn),
    QueryMode(nnnn), SetMode(nn), SetAttribute(nn), ClearScreen(n), SetCursorPosition(nnn), EnableCursor(nb), Mode""")

GRAPHICS_OUTPUT = _layout("EFI_GRAPHICS_OUTPUT_PROTOCOL", "QueryMode(nunn), SetMode(nu), Blt(nnunnnnnnn), Mode")

SERIAL_IO = _layout("EFI_SERIAL_IO_PROTOCOL", """Revision, Reset(n), SetAttributes(nnuuubu), SetControl(nu),
    GetControl(nn), Write(nnn), Read(nnn), Mode""")

LOADED_IMAGE = _layout("EFI_LOADED_IMAGE_PROTOCOL", """Revision, ParentHandle, SystemTable, DeviceHandle, FilePath,
    Reserved, LoadOptionsSize, LoadOptions, ImageBase, ImageSize, ImageCodeAndDataType, Unload(n)""")

SIMPLE_FILE_SYSTEM = _layout("EFI_SIMPLE_FILE_SYSTEM_PROTOCOL", "Revision, OpenVolume(nn)")

FILE = _layout("EFI_FILE_PROTOCOL", """Revision, Open(nnnnn), Close(n), Delete(n), Read(nnn), Write(nnn),
    GetPosition(nn), SetPosition(nn), GetInfo(nnnn), SetInfo(nnnn), Flush(n)""")

MP_SERVICES = _layout("EFI_MP_SERVICES_PROTOCOL", """GetNumberOfProcessors(nnn), GetProcessorInfo(nnn),
    StartupAllAPs(nnbnnnn), StartupThisAP(nnnnnnn), SwitchBSP(nnb), EnableDisableAP(nnbn), WhoAmI(nn)""")

LAYOUTS = (SYSTEM_TABLE, BOOT_SERVICES, RUNTIME_SERVICES, SIMPLE_TEXT_INPUT, SIMPLE_TEXT_INPUT_EX, SIMPLE_TEXT_OUTPUT,
           LOADED_IMAGE, SIMPLE_FILE_SYSTEM, FILE, MP_SERVICES, GRAPHICS_OUTPUT, SERIAL_IO)

SERVICES = dict(service for layout in LAYOUTS for service in layout.services)

GUIDS = {layout.name: uuid.UUID(text) for layout, text in (
    (SIMPLE_TEXT_INPUT, "387477c1-69c7-11d2-8e39-00a0c969723b"),
    (SIMPLE_TEXT_INPUT_EX, "dd9e7534-7762-4698-8c14-f58517a625aa"),
    (SIMPLE_TEXT_OUTPUT, "387477c2-69c7-11d2-8e39-00a0c969723b"),
    (GRAPHICS_OUTPUT, "9042a9de-23dc-4a38-96fb-7aded080516a"),
    (SERIAL_IO, "bb25cf6f-f1d4-11d2-9a0c-0090273fc1fd"),
    (LOADED_IMAGE, "5b1b31a1-9562-11d2-8e3f-00a0c969723b"),
    (SIMPLE_FILE_SYSTEM, "964e5b22-6459-11d2-8e39-00a0c969723b"),
    (MP_SERVICES, "3fdda605-a76e-4f46-ad29-12f4531b3d08"),
)}

DEVICE_PATH_PROTOCOL = uuid.UUID("09576e91-6d3f-11d2-8e39-00a0c969723b")
FILE_INFO_ID = uuid.UUID("09576e92-6d3f-11d2-8e39-00a0c969723b")
FILE_SYSTEM_INFO_ID = uuid.UUID("09576e93-6d3f-11d2-8e39-00a0c969723b")
