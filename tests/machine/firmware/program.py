"""Small UEFI programs for tests: a list of service calls and what they have to return, compiled to an image."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llvmlite.binding as llvm

from barelm.aot.linking.link import link
from barelm.contract.uefi_protocols import (
    BootServices,
    RuntimeServices,
    SimpleFileSystem,
    SimpleTextOutput,
    SystemTable,
)
from barelm.dialect.structs import Struct
from barelm.disk import write_image
from barelm.machine.firmware.faults import STATUSES
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.firmware.tables import guid_of, service_name
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec

TRIPLE = "x86_64-unknown-uefi"
PATIENCE_S = 60
EFI = SimpleNamespace(**{name.removeprefix("EFI_"): value for name, value in STATUSES.items()})
"""The status codes: EFI.NOT_FOUND."""
FIRST_MISMATCH = 1000
"""A program returns this plus the number of the expectation, from 0, that was not met."""

_RUNTIME = """
target triple = "x86_64-unknown-uefi"
@_fltused = global i32 0
define i64 @load(i64 %a) { %p = inttoptr i64 %a to ptr
 %v = load volatile i64, ptr %p, align 1
 ret i64 %v }
define void @store(i64 %a, i64 %v) { %p = inttoptr i64 %a to ptr
 store volatile i64 %v, ptr %p, align 1
 ret void }
"""

Value = int | str
"""A number, or the name of an IR value."""


def offset_of(kind: type[Struct], service: str) -> int:
    """Where a service is in its table, in bytes."""
    return next(field.offset for name, field in kind.FIELDS.items() if service_name(kind, name).endswith("." + service))


class Program:
    """A program in the making.  Addresses, handles and results are names of IR values, all of them i64."""

    def __init__(self, functions: str = "") -> None:
        """`functions` is LLVM IR beside `efi_main`; it may call @load(address) and @store(address, value)."""
        self.functions = functions
        self._globals: list[str] = []
        self._lines: list[str] = []
        self._n = 0
        self._expectations = 0
        self.image, self.table = "%image", "%table"

    def raw(self, line: str) -> str:
        """Add an instruction; returns the name of its value."""
        self._n += 1
        self._lines.append(f"%v{self._n} = {line}")
        return f"%v{self._n}"

    def cells(self, n: int = 1) -> str:
        """The address of n zeroed words."""
        self._globals.append(f"@g{len(self._globals)} = internal global [{n} x i64] zeroinitializer, align 16")
        return self.address(f"@g{len(self._globals) - 1}")

    def data(self, content: bytes) -> str:
        """The address of bytes."""
        digits = "".join(f"\\{byte:02x}" for byte in content)
        self._globals.append(f'@g{len(self._globals)} = internal global [{len(content)} x i8] c"{digits}", align 16')
        return self.address(f"@g{len(self._globals) - 1}")

    def text(self, text: str) -> str:
        """The address of a CHAR16 string."""
        return self.data(text.encode("utf-16-le", "surrogatepass") + bytes(2))

    def guid(self, kind: type[Struct]) -> str:
        """The address of a protocol's GUID."""
        return self.data(guid_of(kind))

    def address(self, symbol: str) -> str:
        """The address of a global."""
        return self.raw(f"ptrtoint ptr {symbol} to i64")

    def load(self, address: Value, offset: int = 0) -> str:
        """The word at an address."""
        return self.raw(f"call i64 @load(i64 {self.add(address, offset)})")

    def store(self, address: Value, value: Value) -> None:
        """Write a word."""
        self._lines.append(f"call void @store(i64 {address}, i64 {value})")

    def add(self, a: Value, b: Value) -> str:
        """The sum."""
        return self.raw(f"add i64 {a}, {b}")

    def low(self, value: Value, bits: int) -> str:
        """The low bits of a word."""
        return self.raw(f"and i64 {value}, {(1 << bits) - 1}")

    def call(self, kind: type[Struct], service: str, interface: Value, *arguments: Value) -> str:
        """Call a service of the table at `interface` with arguments as they are; returns the status."""
        function = self.load(interface, offset_of(kind, service))
        pointer = self.raw(f"inttoptr i64 {function} to ptr")
        return self.raw(f"call i64 {pointer}({', '.join(f'i64 {argument}' for argument in arguments)})")

    def method(self, kind: type[Struct], service: str, this: Value, *arguments: Value) -> str:
        """Call a service of a protocol, whose first argument is the protocol."""
        return self.call(kind, service, this, this, *arguments)

    def boot(self, service: str, *arguments: Value) -> str:
        """Call a boot service."""
        at = self.load(self.table, SystemTable.offset_of("boot_services"))
        return self.call(BootServices, service, at, *arguments)

    def runtime(self, service: str, *arguments: Value) -> str:
        """Call a runtime service."""
        at = self.load(self.table, SystemTable.offset_of("runtime_services"))
        return self.call(RuntimeServices, service, at, *arguments)

    def con_out(self) -> str:
        """The address of ConOut."""
        return self.load(self.table, SystemTable.offset_of("con_out"))

    def con_in(self) -> str:
        """The address of ConIn."""
        return self.load(self.table, SystemTable.offset_of("con_in"))

    def say(self, text: str) -> None:
        """Show a text."""
        self.expect(self.method(SimpleTextOutput, "OutputString", self.con_out(), self.text(text)), 0)

    def protocol(self, kind: type[Struct]) -> str:
        """The first interface of a protocol, found by LocateProtocol."""
        found = self.cells()
        self.expect(self.boot("LocateProtocol", self.guid(kind), 0, found), 0)
        return self.load(found)

    def root(self) -> str:
        """The root directory of the volume."""
        found = self.cells()
        volume = self.protocol(SimpleFileSystem)
        self.expect(self.method(SimpleFileSystem, "OpenVolume", volume, found), 0)
        return self.load(found)

    def expect(self, value: Value, wanted: Value) -> None:
        """Return at once, with the number of this expectation, unless the value is the one wanted."""
        number, self._expectations = self._expectations, self._expectations + 1
        wanted = wanted - (1 << 64) if isinstance(wanted, int) and wanted >> 63 else wanted
        same = self.raw(f"icmp eq i64 {value}, {wanted}")
        self._lines += [f"br i1 {same}, label %met{number}, label %missed{number}", f"missed{number}:",
                        f"ret i64 {FIRST_MISMATCH + number}", f"met{number}:"]

    def build(self, status: Value = 0) -> bytes:
        """The program as an .efi; at its end it returns `status`."""
        text = "\n".join([_RUNTIME, *self._globals, self.functions, "define i64 @efi_main(i64 %image, i64 %table) {",
                          *self._lines, f"ret i64 {status}", "}"])
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        llvm.initialize_native_asmparser()
        module = llvm.parse_assembly(text)
        machine = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu="x86-64-v2", opt=1, reloc="pic",
                                                                        codemodel="small")
        module.data_layout = str(machine.target_data)
        module.verify()
        return link({"main": bytes(machine.emit_object(module))})


def run(folder: Path, program: bytes, files: dict[str, bytes] | None = None, *, memory_mb: int = 64, cores: int = 1,
        typed: str = "", **machine: Any) -> tuple[str, int | None]:
    """What a program shows on a hosted machine, and its status."""
    image = folder / "machine.img"
    write_image(image, {PROGRAM: program, **(files or {})})
    shown = bytearray()
    with Hosted(**machine).start(Spec(image, memory_mb, cores)) as session:
        if typed:
            session.send(typed)
        while content := session.read(PATIENCE_S):
            shown += content
        return shown.decode(), session.status
