"""A sample of what `tools.fuzz_files` does by the million, and what it found."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.contract import uefi
from barelm.contract.sections import CATEGORIES, CHAT, MERGES, PIECE_ENDS, SPECIALS
from barelm.disk import write_image
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.settings import Settings
from tests.built import program
from tests.lying import LyingModel, session_of
from tests.lying_models import small_models
from tools import fuzz_files

hosted = pytest.mark.skipif(Hosted().why_not() is not None, reason="the hosted machine does not run here")


def boot(folder: Path, model: bytes, settings: Settings, typed: str = "", **files: bytes) -> tuple[str, int | None]:
    """What is shown, and the status."""
    write_image(folder / "lies.img", {"EFI/BOOT/BOOTX64.EFI": program(), "model.blm": model,
                                      "barelm.toml": settings.toml(),
                                      **{f"sessions/{name}.session": content for name, content in files.items()}})
    shown = ""
    with Hosted(guard_pages=16).start(Spec(folder / "lies.img", 64, 1, writable=True)) as session:
        session.send(typed)
        while content := session.read(60):
            shown += content.decode()
            if "Press any key" in shown:
                session.send("x")
        return shown, session.status


@hosted
@pytest.mark.parametrize("number", [SPECIALS, MERGES, PIECE_ENDS, CHAT, CATEGORIES])
def test_the_program_refuses_tables_that_lie(tmp_path: Path, number: int) -> None:
    lies = LyingModel(small_models()[0])
    table = lies.section(number)
    table[:4] = table[:4][::-1] + 1000
    shown, status = boot(tmp_path, lies.content(), Settings("a <|im_start|>", 0.0, tokens=3, wait=0))
    assert "a table of the model holds what cannot be" in shown and "In its section" in shown
    assert status == (1 << 63) | uefi.EFI_CRC_ERROR


@hosted
def test_the_program_refuses_a_session_behind_the_context(tmp_path: Path) -> None:
    lies = LyingModel(small_models()[0])
    n = int(lies.header.seq_len) + 1
    shown, status = boot(tmp_path, lies.raw.tobytes(), Settings("", 0.0, tokens=3, chat=True, wait=0),
                         "/load e\r/retry\r/off\r", e=session_of(lies.header, [5] * n, [[0, 1, n, n, 0]], b"x"))
    assert "damaged" in shown and status == 0


@hosted
def test_some_starts_with_files_that_lie() -> None:
    counts = fuzz_files.fuzz_runs(9, 3, program())
    assert counts["findings"] == 0 and counts.total() == 9


def test_some_tables_that_lie() -> None:
    counts = fuzz_files.fuzz_tables(300, 7)
    assert counts["outside"] == 0 and counts["refused"] > 50 and counts["accepted"] > 50
