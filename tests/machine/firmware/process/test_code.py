"""The machine code is what its mnemonics say."""

from __future__ import annotations

import llvmlite.binding as llvm
import pytest

from barelm.machine.firmware.process import code

ADDRESS = 0x1122334455667788
BEGIN, END = "code begins here", "code ends here"


def assembled(mnemonics: list[str]) -> bytes:
    """What LLVM makes of them."""
    lines = [".text", f'.ascii "{BEGIN}"', ".intel_syntax noprefix", *mnemonics, ".att_syntax", f'.ascii "{END}"']
    llvm.initialize_native_target()
    llvm.initialize_native_asmparser()
    llvm.initialize_native_asmprinter()
    text = "\n".join("module asm \"" + line.replace('"', "\\22") + '"' for line in lines)
    triple = "x86_64-unknown-linux-gnu"
    machine = llvm.Target.from_triple(triple).create_target_machine()
    content = bytes(machine.emit_object(llvm.parse_assembly(f'target triple = "{triple}"\n{text}\n')))
    return content.partition(BEGIN.encode())[2].partition(END.encode())[0]


@pytest.mark.parametrize("listing", [code.ENTER, code.SERVICE, code.FAULT, code.GIVE_WAY],
                         ids=["enter", "service", "fault", "give way"])
def test_bytes_are_their_mnemonics(listing: str) -> None:
    mnemonics = [line.partition(";")[2].partition("(")[0].strip() for line in listing.strip().splitlines()]
    wide = [line.replace("mov rax, ADDRESS", "movabs rax, ADDRESS") for line in mnemonics]
    assert code.assemble(listing, ADDRESS) == assembled([line.replace("ADDRESS", hex(ADDRESS)) for line in wide])


def test_thunk_loads_its_number_and_jumps() -> None:
    assert code.thunk(5, 0x100, 0x40) == assembled(["mov eax, 5", ".byte 0xe9", ".long 0x40 - 0x100 - 10"])
