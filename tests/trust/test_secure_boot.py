"""Secure Boot in QEMU: the firmware starts what was signed with its key and nothing else, the program the same."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from barelm.errors import BarelmError
from barelm.machine.machine import Spec
from barelm.machine.ovmf import find_ovmf
from barelm.machine.qemu import Qemu
from barelm.trust.authenticode import sign_program
from barelm.trust.secure_boot_keys import NAMES, make_keys
from barelm.trust.signed_data import read_signer
from tests.built import program
from tests.trust import signing
from tests.trust.signing import BOOT, SETTINGS, image, model

PATIENCE_S = 90


@functools.cache
def reason() -> str | None:
    """Why not here."""
    if importlib.util.find_spec("virt") is None:
        return "virt-firmware, which enrols keys, is not installed"
    return Qemu(secure=Path("any")).why_not()


pytestmark = [pytest.mark.boot, pytest.mark.skipif("reason() is not None", reason="no OVMF with Secure Boot, or no "
                                                                                  "virt-firmware to enrol keys")]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys, and the firmware's variables with these enrolled."""
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder, "barelm tests")
    owner = str(uuid.uuid4())
    options: list[str | Path] = [word for option, name in zip(("--set-pk", "--add-kek", "--add-db"), NAMES)
               for word in (option, owner, folder / f"{name}.pem")]
    subprocess.run([sys.executable, "-P", "-m", "virt.firmware.vars", "--input", find_ovmf(secure=True).variables,
                    "--output", folder / "variables.fd", *options, "--sb"], check=True, capture_output=True)
    return folder


SHIM = Path("/usr/lib/shim/shimx64.efi.signed")


@pytest.mark.skipif(not SHIM.is_file(), reason="shim-signed is not installed")
@pytest.mark.parametrize("enrolled", [True, False])
def test_shim_starts_what_the_owner_enrolled(tmp_path: Path, keys: Path, enrolled: bool) -> None:
    """Its makers' keys in the firmware, ours in shim's own list."""
    makers = find_ovmf(secure=True).variables.with_name("OVMF_VARS_4M.ms.fd")
    if not makers.is_file():
        pytest.skip("there are no variables with the makers' keys")
    options: list[str | Path] = ["--add-mok", str(uuid.uuid4()), keys / "db.pem"] if enrolled else []
    subprocess.run([sys.executable, "-P", "-m", "virt.firmware.vars", "--input", makers, "--output",
                    tmp_path / "variables.fd", *options], check=True, capture_output=True)
    files = signed_files(keys)
    files |= {"EFI/BOOT/grubx64.efi": files[BOOT], BOOT: SHIM.read_bytes()}
    shown = seen(tmp_path, tmp_path, files, "BARELM DONE 0" if enrolled else "Verification failed")
    assert ("BARELM DONE 0" in shown) == enrolled, shown


def signed_files(keys: Path) -> dict[str, bytes]:
    """An image's files, its program signed with the enrolled key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing, "signer", lambda: read_signer(keys / "db.key", keys / "db.pem"))
        return dict(signing.files.__wrapped__())  # not kept: other tests have a key of their own


def seen(folder: Path, keys: Path, files: dict[str, bytes], until: str) -> str:
    """What the console shows, up to some words."""
    shown = ""
    machine = Qemu(secure=keys / "variables.fd")
    with machine.start(Spec(image(folder, files), memory_mb=512)) as session:
        while until not in shown and (data := session.read(PATIENCE_S)):
            shown += data.decode()
    return shown


def test_what_is_signed_boots(tmp_path: Path, keys: Path) -> None:
    shown = seen(tmp_path, keys, signed_files(keys), "BARELM DONE 0")
    assert "BARELM DONE 0" in shown and "BARELM IDS" in shown


@pytest.mark.parametrize("how", ["unsigned", "tampered", "of another key"])
def test_the_firmware_refuses_any_other_program(tmp_path: Path, keys: Path, how: str) -> None:
    files = signed_files(keys)
    if how == "unsigned":
        files[BOOT] = program().read_bytes()
    elif how == "tampered":
        files[BOOT] = files[BOOT][:0x2001] + bytes([files[BOOT][0x2001] ^ 1]) + files[BOOT][0x2002:]
    else:
        files[BOOT] = sign_program(program().read_bytes(), signing.signer())
    try:
        shown = seen(tmp_path, keys, files, "Access Denied")
    except BarelmError as error:
        shown = error.hint
    assert "BARELM" not in shown and "Access Denied" in shown, shown


@pytest.mark.parametrize("name, content, what", [
    ("model.blm", model(6), "this model is not the one this program was signed with"),
    ("barelm.toml", SETTINGS.but(seed=3).toml(), "barelm.toml is not the one this program was signed with")])
def test_the_program_refuses_any_other_file(tmp_path: Path, keys: Path, name: str, content: bytes, what: str) -> None:
    shown = seen(tmp_path, keys, {**signed_files(keys), name: content}, "any key")
    assert f"barelm stopped: {what}" in " ".join(shown.split()), shown
    assert "BARELM IDS" not in shown
