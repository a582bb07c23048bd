"""What a program writes comes out as UTF-8, what is typed comes in as key strokes."""

from __future__ import annotations

from pathlib import Path

from barelm.contract.uefi_protocols import SimpleTextInput, SimpleTextInputEx, SimpleTextOutput
from tests.machine.firmware.program import EFI, Program, run


def test_text_comes_out_as_utf8_without_carriage_returns_and_escapes(tmp_path: Path) -> None:
    program = Program()
    program.say("one\r\ntwo \u00e9 \u20ac \x1b[1m")
    program.say("\ud83d")  # a character may come in two calls
    program.say("\ude00")
    program.say("\udc00!")
    assert run(tmp_path, program.build()) == ("one\ntwo \u00e9 \u20ac [1m\U0001f600\ufffd!", 0)


def test_cursor_follows_the_text(tmp_path: Path) -> None:
    program = Program()
    out = program.con_out()
    mode = program.load(out, SimpleTextOutput.offset_of("mode"))
    program.say("a\r\nbcd")
    program.expect(program.low(program.load(mode, 12), 64), 3 | 1 << 32)
    program.say("x" * 80)
    program.expect(program.load(mode, 12), 3 | 2 << 32)
    program.expect(program.method(SimpleTextOutput, "SetCursorPosition", out, 5, 7), 0)
    program.expect(program.load(mode, 12), 5 | 7 << 32)
    program.expect(program.method(SimpleTextOutput, "SetCursorPosition", out, 80, 0), EFI.UNSUPPORTED)
    size = program.cells(2)
    program.expect(program.method(SimpleTextOutput, "QueryMode", out, 0, size, program.add(size, 8)), 0)
    program.expect(program.load(size), 80)
    program.expect(program.load(size, 8), 25)
    program.expect(program.method(SimpleTextOutput, "QueryMode", out, 1, size, size), EFI.UNSUPPORTED)
    assert run(tmp_path, program.build())[1] == 0


def test_keys_come_in_one_by_one(tmp_path: Path) -> None:
    program = Program()
    con_in, key, index = program.con_in(), program.cells(), program.cells()
    event = program.cells()
    program.store(event, program.load(con_in, SimpleTextInput.offset_of("wait_for_key")))
    for expected in (ord("h") << 16, 0xE9 << 16, 0x17, ord("\r") << 16):
        program.expect(program.boot("WaitForEvent", 1, event, index), 0)
        program.expect(program.method(SimpleTextInput, "ReadKeyStroke", con_in, key), 0)
        program.expect(program.low(program.load(key), 32), expected)
    program.expect(program.method(SimpleTextInput, "ReadKeyStroke", con_in, key), EFI.NOT_READY)
    assert run(tmp_path, program.build(), typed="h\u00e9\x1b\n")[1] == 0


def test_extended_keys_have_a_state(tmp_path: Path) -> None:
    program = Program()
    extended = program.protocol(SimpleTextInputEx)
    event, key, index = program.cells(), program.cells(2), program.cells()
    program.store(event, program.load(extended, SimpleTextInputEx.offset_of("wait_for_key_ex")))
    program.expect(program.boot("WaitForEvent", 1, event, index), 0)
    program.expect(program.method(SimpleTextInputEx, "ReadKeyStrokeEx", extended, key), 0)
    program.expect(program.load(key), ord("k") << 16)
    assert run(tmp_path, program.build(), typed="k")[1] == 0
