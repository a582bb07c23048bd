"""The graphics output of a hosted machine: modes, transfers, and pictures taken from outside while it is on."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from barelm.contract.uefi_protocols import GraphicsOutput, SystemTable
from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.machine.screen import KINDS, Screen, parse_screen
from tests.machine.firmware.program import EFI, PATIENCE_S, Program, run

FILL, TO_BUFFER, TO_VIDEO, VIDEO = range(4)
RED, GREEN, BLUE = 0xFF0000, 0x00FF00, 0x0000FF
WIDTH, HEIGHT = 64, 48


def blt(program: Program, graphics: str, wanted: int, buffer: str | int, operation: int, *numbers: int) -> None:
    """Expect a status of a transfer; `numbers` are source, target, size, and bytes of a row of the buffer."""
    program.expect(program.method(GraphicsOutput, "Blt", graphics, buffer, operation, *numbers), wanted)


def photographed(folder: Path, program: Program, pixels: str, name: str = "screen.png") -> Path:
    """The screen of a program that ends well, as a picture."""
    image = folder / "machine.img"
    write_image(image, {PROGRAM: program.build()})
    with Hosted(screen=(WIDTH, HEIGHT), pixels=pixels).start(Spec(image, 64)) as session:
        while session.read(PATIENCE_S):
            pass
        assert session.status == 0
        session.screenshot(folder / name)
    return folder / name


def read_png(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The pixels of a PNG as 0xRRGGBB."""
    content, at, chunks = path.read_bytes(), 8, {}
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(content):
        n = struct.unpack_from(">I", content, at)[0]
        kind, data = content[at + 4:at + 8], content[at + 8:at + 8 + n]
        assert struct.unpack_from(">I", content, at + 8 + n)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + n
    width, height = struct.unpack_from(">2I", chunks[b"IHDR"])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not lines[:, 0].any()
    parts = lines[:, 1:].reshape(height, width, 3).astype(np.int64)
    return parts[:, :, 0] << 16 | parts[:, :, 1] << 8 | parts[:, :, 2]


@pytest.mark.parametrize("pixels", KINDS)
def test_transfers_in_all_directions(tmp_path: Path, pixels: str) -> None:
    program = Program()
    graphics = program.protocol(GraphicsOutput)
    colour, buffer = program.data(struct.pack("<I", RED)), program.cells(8)
    blt(program, graphics, 0, colour, FILL, 0, 0, 4, 2, 10, 3, 0)
    for i, value in enumerate((RED | GREEN << 32, BLUE | RED << 32)):  # two rows of two pixels
        program.store(program.add(buffer, 16 * i), value)
    blt(program, graphics, 0, buffer, TO_VIDEO, 1, 0, 20, 10, 1, 2, 16)  # the right column: green, red
    blt(program, graphics, 0, 0, VIDEO, 20, 10, 21, 11, 1, 2, 0)
    blt(program, graphics, 0, 0, VIDEO, 4, 2, 5, 3, 10, 3, 0)  # these overlap
    blt(program, graphics, 0, buffer, TO_BUFFER, 20, 10, 1, 1, 1, 1, 16)
    program.expect(program.load(buffer, 16), BLUE | GREEN << 32)
    picture = read_png(photographed(tmp_path, program, pixels))
    wanted = np.zeros((HEIGHT, WIDTH), np.int64)
    wanted[2:5, 4:14] = wanted[3:6, 5:15] = RED
    wanted[10:12, 20] = wanted[11:13, 21] = GREEN, RED
    assert np.array_equal(picture, wanted)


def test_transfers_that_cannot_be_are_refused(tmp_path: Path) -> None:
    program = Program()
    graphics, buffer = program.protocol(GraphicsOutput), program.cells(8)
    for operation, numbers in (
            (FILL, (0, 0, 0, 0, 0, 1, 0)), (FILL, (0, 0, 0, 0, 1, 0, 0)), (FILL, (0, 0, 60, 0, 5, 1, 0)),
            (TO_VIDEO, (0, 0, 0, 48, 1, 1, 0)), (TO_BUFFER, (64, 0, 0, 0, 1, 1, 0)), (4, (0, 0, 0, 0, 1, 1, 0)),
            (VIDEO, (0, 47, 0, 0, 1, 2, 0)), (FILL, (0, 0, 1 << 40, 0, 1, 1, 0))):
        blt(program, graphics, EFI.INVALID_PARAMETER, buffer, operation, *numbers)
    blt(program, graphics, EFI.INVALID_PARAMETER, 0, TO_VIDEO, 0, 0, 0, 0, 1, 1, 0)
    assert not read_png(photographed(tmp_path, program, "bgr")).any()


@pytest.mark.parametrize("pixels", KINDS)
def test_modes_and_the_frame_buffer(tmp_path: Path, pixels: str) -> None:
    program = Program()
    graphics = program.protocol(GraphicsOutput)
    console, found = program.load(program.table, SystemTable.offset_of("console_out_handle")), program.cells()
    program.expect(program.boot("HandleProtocol", console, program.guid(GraphicsOutput), found), 0)
    program.expect(program.load(found), graphics)
    mode = program.load(graphics, GraphicsOutput.offset_of("mode"))
    program.expect(program.load(mode), 2)  # two modes, the first is set
    size, info = program.cells(), program.cells()
    for number, width, height in ((0, 700, 500), (1, 640, 480)):
        program.expect(program.method(GraphicsOutput, "QueryMode", graphics, number, size, info), 0)
        program.expect(program.load(size), 36)
        about = program.load(info)
        program.expect(program.load(about), width << 32)
        program.expect(program.load(about, 8), height | KINDS.index(pixels) << 32)
        program.expect(program.low(program.load(about, 32), 32), width)
        program.expect(program.boot("FreePool", about), 0)
    program.expect(program.method(GraphicsOutput, "QueryMode", graphics, 2, size, info), EFI.INVALID_PARAMETER)
    program.expect(program.method(GraphicsOutput, "SetMode", graphics, 2), EFI.UNSUPPORTED)
    program.expect(program.method(GraphicsOutput, "SetMode", graphics, 1), 0)
    program.expect(program.load(mode), 2 | 1 << 32)
    program.expect(program.load(program.load(mode, 8)), 640 << 32)
    program.expect(program.load(mode, 32), 0 if pixels == "blt" else 4 * 700 * 500)
    if pixels != "blt":
        program.store(program.add(program.load(mode, 24), 4 * 640), RED | GREEN << 32)
    image = tmp_path / "machine.img"
    write_image(image, {PROGRAM: program.build()})
    with Hosted(screen=(700, 500), pixels=pixels).start(Spec(image, 64)) as session:
        while session.read(PATIENCE_S):
            pass
        assert session.status == 0
        session.screenshot(tmp_path / "screen.png")
        session.screenshot(tmp_path / "screen.ppm")
    picture = read_png(tmp_path / "screen.png")
    first = {"rgb": BLUE, "blt": 0}.get(pixels, RED)
    assert picture.shape == (480, 640) and picture[1, 0] == first and (picture[1, 1] == GREEN) == (pixels != "blt")
    content = (tmp_path / "screen.ppm").read_bytes()
    assert content.startswith(b"P6\n640 480\n255\n") and len(content) == 15 + 3 * 640 * 480
    assert content[15 + 3 * 640:][:3] == first.to_bytes(3, "big")


def test_without_a_screen_there_is_none(tmp_path: Path) -> None:
    program = Program()
    program.expect(program.boot("LocateProtocol", program.guid(GraphicsOutput), 0, program.cells()), EFI.NOT_FOUND)
    assert run(tmp_path, program.build())[1] == 0
    with Hosted().start(Spec(tmp_path / "machine.img", 64)) as session:
        with pytest.raises(BarelmError, match="no screen"):
            session.screenshot(tmp_path / "screen.png")


def test_a_screen_is_on_while_its_machine_runs(tmp_path: Path) -> None:
    program = Program("define internal i64 @hang() {\n br label %on\non:\n br label %on\n}\n")
    graphics = program.protocol(GraphicsOutput)
    blt(program, graphics, 0, program.data(struct.pack("<I", GREEN)), FILL, 0, 0, 0, 0, WIDTH, HEIGHT, 0)
    program.say("green\n")
    program.raw("call i64 @hang()")
    image = tmp_path / "machine.img"
    write_image(image, {PROGRAM: program.build()})
    with Hosted(screen=(WIDTH, HEIGHT)).start(Spec(image, 64)) as session:
        assert session.read(PATIENCE_S) == b"green\n"
        session.screenshot(tmp_path / "screen.png")
    assert (read_png(tmp_path / "screen.png") == GREEN).all()


def test_screens_by_name() -> None:
    assert parse_screen("1920x1080") == Screen(1920, 1080)
    assert parse_screen("800x600:blt") == Screen(800, 600, "blt") == parse_screen(str(Screen(800, 600, "blt")))
    for text in ("", "800", "0x600", "-1x5", "800x600:cmyk", "800x600x3", "99999x99999"):
        with pytest.raises(ValueError):
            parse_screen(text)
