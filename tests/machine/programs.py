"""Tiny UEFI programs for tests that boot a machine: LLVM IR, through the package's own emitter and linker."""

from __future__ import annotations

import functools
from pathlib import Path

import llvmlite.binding as llvm

from barelm.aot.linking.link import link
from barelm.aot.object import emit, linked
from barelm.dialect.lowering import FAMILY
from barelm.disk import write_image

# The offsets are of EFI_SYSTEM_TABLE and of the protocols in it (UEFI specification 2.10, sections 4.3, 12.3, 12.4).
_SERVICES = """
define internal ptr @at(ptr %base, i64 %offset) {
  %place = getelementptr i8, ptr %base, i64 %offset
  %value = load ptr, ptr %place
  ret ptr %value
}

define internal void @say(ptr %table, ptr %text) {
  %con_out = call ptr @at(ptr %table, i64 64)
  %output_string = call ptr @at(ptr %con_out, i64 8)
  %status = call i64 %output_string(ptr %con_out, ptr %text)
  ret void
}

define internal void @shut_down(ptr %table) {
  %runtime = call ptr @at(ptr %table, i64 88)
  %reset_system = call ptr @at(ptr %runtime, i64 104)
  call void %reset_system(i32 2, i64 0, i64 0, ptr null)
  ret void
}

; Show what is typed, up to the Enter key.
define internal void @echo(ptr %table) {
  %con_in = call ptr @at(ptr %table, i64 48)
  %read_key_stroke = call ptr @at(ptr %con_in, i64 8)
  %key = alloca [4 x i16]
  %unit = getelementptr i8, ptr %key, i64 2
  %end = getelementptr i8, ptr %key, i64 4
  br label %next
next:
  %status = call i64 %read_key_stroke(ptr %con_in, ptr %key)
  %got = icmp eq i64 %status, 0
  br i1 %got, label %show, label %next
show:
  store i16 0, ptr %end
  call void @say(ptr %table, ptr %unit)
  %what = load i16, ptr %unit
  %enter = icmp eq i16 %what, 13
  br i1 %enter, label %out, label %next
out:
  ret void
}

define internal void @crash(ptr %table) {
  call void asm sideeffect "ud2", ""()
  ret void
}
"""


@functools.cache
def program(before: str, *steps: str, after: str = "") -> bytes:
    """An application that says `before`, takes `steps` ("echo", "crash", "shut_down"), `after` said before the last."""
    calls = [f"  call void @{step}(ptr %table)" for step in steps]
    if after:
        calls.insert(len(calls) - 1, "  call void @say(ptr %table, ptr @after)")
    main = "\n".join([_SERVICES, _constant("before", before), _constant("after", after),
                      "@_fltused = global i32 0", "define i64 @efi_main(ptr %image, ptr %table) {",
                      "  call void @say(ptr %table, ptr @before)", *calls, "  ret i64 0", "}"])
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()
    return link({"main": emit(linked([main]), ("efi_main", "_fltused"), FAMILY.baseline)})


def image_of(program: bytes, path: Path, sector: int = 512) -> Path:
    """A bootable image of nothing but `program`, at `path`, for disks with such sectors."""
    write_image(path, {"EFI/BOOT/BOOTX64.EFI": program}, sector=sector)
    return path


def _constant(name: str, text: str) -> str:
    raw = text.encode("utf-16-le") + b"\0\0"
    units = ", ".join(f"i16 {int.from_bytes(raw[i:i + 2], 'little')}" for i in range(0, len(raw), 2))
    return f"@{name} = internal constant [{len(raw) // 2} x i16] [{units}]"
