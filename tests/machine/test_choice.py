"""Who waits for words has QEMU where it need not translate."""

from __future__ import annotations

import pytest

from barelm.machine import choice
from barelm.machine.accelerator import TCG
from barelm.machine.hosted import Hosted
from barelm.machine.qemu import Qemu


@pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))
@pytest.mark.parametrize("asked, accelerator, chosen, n_notes", [
    (None, TCG, "hosted", 1), (None, "kvm", "qemu", 0), ("qemu", TCG, "qemu", 0), ("hosted", "kvm", "hosted", 0)])
def test_nothing_is_translated_unless_asked_for(monkeypatch: pytest.MonkeyPatch, asked: str | None, accelerator: str,
                                                chosen: str, n_notes: int) -> None:
    monkeypatch.setattr(Qemu, "why_not", lambda self: None)
    monkeypatch.setattr(choice, "find_program", lambda: "qemu-system-x86_64")
    monkeypatch.setattr(choice, "best_accelerator", lambda program: accelerator)
    notes: list[str] = []
    assert choice.quick_machine(asked, notes.append).name == chosen
    assert len(notes) == n_notes
