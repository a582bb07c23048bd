"""Firmware discovery on folders made for the purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from barelm.errors import BarelmError
from barelm.machine import ovmf
from barelm.machine.ovmf import Ovmf, described, find_ovmf, first_present, read_descriptor


def _firmware(folder: Path, name: str = "OVMF") -> Ovmf:
    folder.mkdir(exist_ok=True)
    code, variables = folder / f"{name}_CODE.fd", folder / f"{name}_VARS.fd"
    code.write_bytes(b"code")
    variables.write_bytes(b"vars")
    return Ovmf(code, variables)


def _descriptor(firmware: Ovmf, **changes: Any) -> dict[str, Any]:
    return {
        "interface-types": ["uefi"],
        "mapping": {"device": "flash", "executable": {"filename": str(firmware.code), "format": "raw"},
                    "nvram-template": {"filename": str(firmware.variables), "format": "raw"}},
        "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
        "features": ["acpi-s3", "verbose-dynamic"],
        "tags": [],
    } | changes


def _write(path: Path, descriptor: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(descriptor))
    return path


def test_a_fitting_descriptor(tmp_path: Path) -> None:
    firmware = _firmware(tmp_path)
    assert read_descriptor(_write(tmp_path / "a.json", _descriptor(firmware))) == firmware


def test_formats_are_kept(tmp_path: Path) -> None:
    firmware = _firmware(tmp_path)
    descriptor = _descriptor(firmware)
    descriptor["mapping"]["executable"]["format"] = descriptor["mapping"]["nvram-template"]["format"] = "qcow2"
    found = read_descriptor(_write(tmp_path / "a.json", descriptor))
    assert found == Ovmf(firmware.code, firmware.variables, "qcow2", "qcow2")


@pytest.mark.parametrize("changes", [
    {"features": ["requires-smm", "secure-boot"]},
    {"features": ["secure-boot", "enrolled-keys"]},
    {"interface-types": ["bios"]},
    {"targets": [{"architecture": "aarch64", "machines": ["virt-*"]}]},
    {"targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*"]}]},
    {"mapping": {"device": "memory", "filename": "/x"}},
    {"mapping": {"device": "flash", "mode": "stateless", "executable": {"filename": "/x", "format": "raw"}}},
    {"mapping": []},
    {"targets": None},
])
def test_descriptors_that_do_not_fit(tmp_path: Path, changes: dict[str, Any]) -> None:
    firmware = _firmware(tmp_path)
    assert read_descriptor(_write(tmp_path / "a.json", _descriptor(firmware, **changes))) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_no_descriptors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert read_descriptor(tmp_path / "a.json") is None


def test_names_give_the_order_and_earlier_folders_hide_later_ones(tmp_path: Path) -> None:
    first, second, third = (_firmware(tmp_path / name, name) for name in "abc")
    user, system = tmp_path / "user", tmp_path / "system"
    _write(system / "50-x.json", _descriptor(first))
    _write(user / "60-y.json", _descriptor(second))
    _write(system / "60-y.json", _descriptor(third))
    assert list(described([user, tmp_path / "absent", system])) == [first, second]
    (user / "50-x.json").write_bytes(b"")           # how a person switches a descriptor off
    assert list(described([user, system])) == [second]


def test_a_descriptor_of_absent_files_is_passed_over(tmp_path: Path) -> None:
    present = _firmware(tmp_path)
    _write(tmp_path / "d" / "1.json", _descriptor(Ovmf(tmp_path / "gone.fd", present.variables)))
    _write(tmp_path / "d" / "2.json", _descriptor(present))
    assert list(described([tmp_path / "d"])) == [present]


def test_known_places(tmp_path: Path) -> None:
    present = _firmware(tmp_path)
    pairs = [(tmp_path / "x", present.variables), (present.code, present.variables)]
    assert first_present(pairs) == present
    assert first_present(pairs[:1]) is None


def test_the_environment_wins(tmp_path: Path) -> None:
    named = _firmware(tmp_path)
    environment = {"BARELM_OVMF_CODE": str(named.code), "BARELM_OVMF_VARS": str(named.variables)}
    assert find_ovmf(environment=environment) == named


def test_the_users_descriptors_come_before_the_systems(tmp_path: Path) -> None:
    mine = _firmware(tmp_path)
    _write(tmp_path / "qemu" / "firmware" / "00-mine.json", _descriptor(mine))
    assert find_ovmf(environment={"XDG_CONFIG_HOME": str(tmp_path)}) == mine


@pytest.mark.parametrize("environment, message", [
    ({"BARELM_OVMF_CODE": "/x"}, "BARELM_OVMF_CODE is set but BARELM_OVMF_VARS is not"),
    ({"BARELM_OVMF_VARS": "/x"}, "BARELM_OVMF_VARS is set but BARELM_OVMF_CODE is not"),
    ({"BARELM_OVMF_CODE": "/nowhere", "BARELM_OVMF_VARS": "/x"}, "BARELM_OVMF_CODE names /nowhere"),
])
def test_an_environment_that_cannot_be_meant(environment: dict[str, str], message: str) -> None:
    with pytest.raises(BarelmError) as caught:
        find_ovmf(environment=environment)
    assert caught.value.message.startswith(message)
    assert caught.value.hint


def test_nothing_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ovmf, "_SYSTEM_FOLDERS", ())
    monkeypatch.setattr(ovmf, "_KNOWN", ())
    with pytest.raises(BarelmError) as caught:
        find_ovmf(tmp_path / "bin" / "qemu", {"XDG_CONFIG_HOME": str(tmp_path)})
    assert "is not installed" in caught.value.message
    assert "BARELM_OVMF_CODE" in caught.value.hint
    brought = tmp_path / "share" / "qemu"
    brought.mkdir(parents=True)
    for name in ("edk2-x86_64-code.fd", "edk2-i386-vars.fd"):
        (brought / name).write_bytes(b"x")
    (tmp_path / "bin").mkdir()
    assert find_ovmf(tmp_path / "bin" / "qemu", {}).code == brought / "edk2-x86_64-code.fd"
