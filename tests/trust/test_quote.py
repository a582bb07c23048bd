"""Quotes: what the program asks of a TPM, and what the host believes of its answers."""

from __future__ import annotations

import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract.trust.tpm_commands import FLUSH
from barelm.contract.uefi_protocols import Tcg2
from barelm.errors import BarelmError
from barelm.machine.firmware.services import handlers_of
from barelm.machine.firmware.tables import guid_of
from barelm.metal.trust import measured_boot, quotes
from barelm.metal.trust.loaded_files import trust_in
from barelm.trust.quote import judge_quote
from tests.metal.talks import Desk, array
from tests.trust.signing_tpm import HANDLE, SigningTpm
from tests.worlds import interpreter

LINK = hashlib.sha256(b"the last link").digest()


def asked(patch: pytest.MonkeyPatch, tpm: SigningTpm, measured: int = measured_boot.PCR) -> str:
    """What the program puts into a receipt."""
    desk = Desk(patch)
    machine = desk.firmware.machine
    machine.services.install(handlers_of(tpm))
    machine.protocols.add(0, guid_of(Tcg2), machine.services.table(Tcg2, machine.memory.pool(Tcg2.BYTES)))
    trust_in(desk.workspace).measured = measured
    return desk.heard(lambda: interpreter(quotes.put_quote)(desk.t.con, desk.workspace, array(LINK)))


def test_the_program_asks_for_a_quote_over_the_last_link(monkeypatch: pytest.MonkeyPatch) -> None:
    tpm = SigningTpm()
    tpm.pcrs[4], tpm.pcrs[12] = b"\4" * 32, b"\x0c" * 32
    said = asked(monkeypatch, tpm)
    assert said.startswith(',\n "quote": "') and said.endswith('"')
    lines = judge_quote(bytes.fromhex(said[13:-1]), LINK)
    assert lines[1:] == [f"register 4 was {'04' * 32}", f"register 12 was {'0c' * 32}"]
    assert [len(command) for command in tpm.commands][3:] == [14] and tpm.commands[3] == bytes(FLUSH[:10]) + HANDLE
    again = judge_quote(SigningTpm().quote(LINK), LINK)
    assert again[0] == lines[0] and len(lines[0]) > 64  # the same TPM has the same key


@pytest.mark.parametrize("refuses, n", [(0, 1), (1, 4), (2, 4)])
def test_a_tpm_that_refuses_is_no_quote(monkeypatch: pytest.MonkeyPatch, refuses: int, n: int) -> None:
    tpm = SigningTpm(refuses)
    said = asked(monkeypatch, tpm)
    assert len(tpm.commands) == n and (said == ',\n "quote": ""') == (refuses == 0)
    if refuses:
        with pytest.raises(BarelmError, match="none of a TPM over it"):
            judge_quote(bytes.fromhex(said[13:-1]), LINK)


def test_where_nothing_was_measured_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    tpm = SigningTpm()
    assert asked(monkeypatch, tpm, measured=0) == "" and not tpm.commands


def test_another_link_is_refused() -> None:
    with pytest.raises(BarelmError, match="over something else"):
        judge_quote(SigningTpm().quote(bytes(32)), LINK)


def test_other_registers_of_the_same_values_are_refused() -> None:
    tpm = SigningTpm()
    tpm.selection = tpm.selection[:-3] + b"\x20\x10\0"
    with pytest.raises(BarelmError, match="over something else"):
        judge_quote(tpm.quote(LINK), LINK)


def test_another_key_is_refused() -> None:
    other = SigningTpm()
    other.key = ec.derive_private_key(54321, ec.SECP256R1())
    n = struct.unpack_from(">I", other.quote(LINK), 2)[0]
    with pytest.raises(BarelmError, match="signature is wrong"):
        judge_quote(SigningTpm().quote(LINK)[:n] + other.quote(LINK)[n:], LINK)


@given(st.integers(0, 10**6), st.integers(1, 255), st.booleans())
def test_one_bit_more_or_less_is_refused(at: int, bits: int, cut: bool) -> None:
    """But for what is no part of it: the handle, the ticket of how the key was made, counters."""
    answers = bytearray(SigningTpm().quote(LINK))
    at %= len(answers)
    if cut:
        del answers[at:]
    else:
        answers[at] ^= bits
    honest = judge_quote(SigningTpm().quote(LINK), LINK)
    try:
        said = judge_quote(bytes(answers), LINK)
    except BarelmError as error:
        assert "none of a TPM over it" in error.message
    else:
        start = struct.unpack_from(">I", answers, 2)[0] + 16
        assert not cut and said[1:] == honest[1:]
        assert not start <= at < start + struct.unpack_from(">H", answers, start - 2)[0]
