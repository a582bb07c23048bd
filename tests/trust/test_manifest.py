"""What an image says of itself: a manifest that finds every change, a bill of materials, the same bytes everywhere."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from barelm import pipeline
from barelm.aot.build import llvm_version
from barelm.child_python import child_environment
from barelm.commands.make import make_image
from barelm.contract.layout import PAGE
from barelm.disk import open_editor, open_volume
from barelm.errors import BarelmError
from barelm.pack.reader import read_packed
from barelm.pipeline import Packing
from barelm.settings import Settings
from barelm.trust.bill_of_materials import BILL_PATH, bill_of_materials
from barelm.trust.manifest import MANIFEST_PATH, manifest, verify_image
from barelm.trust.secure_boot_keys import make_keys
from barelm.trust.verifying import verify
from tests.built import program
from tests.trust.signing import model

SETTINGS = Settings("to the sun", 0.0, tokens=3)


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """With a model, an image and a signed one; gone with the process."""
    made = tempfile.TemporaryDirectory(prefix="manifest-")
    place = Path(made.name)
    program()
    (place / "tiny.blm").write_bytes(model())
    make_keys(place / "keys", "barelm tests")
    for name, key, certificate in (("plain", None, None), ("signed", place / "keys/db.key", place / "keys/db.pem")):
        make_image(str(place / "tiny.blm"), None, Packing(), SETTINGS, place / f"{name}.img", False, 512, 1, key,
                   certificate)
    return made


def image(to: Path, name: str = "plain") -> Path:
    """An image to change."""
    shutil.copyfile(Path(folder().name) / f"{name}.img", to / "an.img")
    return to / "an.img"


def on(path: Path, name: str) -> bytes:
    """A file of an image."""
    with open_volume(path) as volume:
        node = volume.lookup(name)
        assert node is not None
        return volume.read(node, 0, node.size)


def put(path: Path, name: str, content: bytes) -> None:
    """Write a file of an image."""
    with open_editor(path) as volume:
        volume.save(name, content)


def test_an_image_is_as_it_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify_image(image(tmp_path))
    assert found.faults == [] and "the program is not signed" in found.notes
    listed = json.loads(on(image(tmp_path), MANIFEST_PATH))
    with open_volume(image(tmp_path)) as volume:
        assert listed["files"].keys() == {node.path for node in volume.files()} - {MANIFEST_PATH}
    assert listed["made"]["model"] == "tiny" and "to the sun" in listed["made"]["settings"]
    assert listed["files"]["model.blm"] == {"bytes": len(model()), "sha256": hashlib.sha256(model()).hexdigest()}
    assert verify(image(tmp_path), None, "hosted", Settings()) == 0
    assert capsys.readouterr().out.endswith("the image is as it was made\n")


@pytest.mark.parametrize("name", ["model.blm", "barelm.toml", "EFI/BOOT/BOOTX64.EFI", BILL_PATH, "FONT-LICENSE.txt"])
@pytest.mark.parametrize("longer", [False, True])
def test_a_changed_file_is_named(tmp_path: Path, name: str, longer: bool) -> None:
    path = image(tmp_path)
    before = on(path, name)
    put(path, name, before + b"x" if longer else before[:-1] + bytes([before[-1] ^ 1]))
    assert [fault.split()[0] for fault in verify_image(path).faults] == [name]
    assert verify(path, None, "hosted", Settings()) == 1


def test_missing_and_added_files(tmp_path: Path) -> None:
    path = image(tmp_path)
    put(path, "sessions/a.md", b"hello")
    assert "sessions/a.md was added since" in verify_image(path).notes and not verify_image(path).faults
    with open_editor(path) as volume:
        node = volume.find("barelm.toml")
        assert node is not None
        volume.delete(node)
    assert verify_image(path).faults == ["barelm.toml is missing"]


def test_of_a_signed_image_the_signature_is_checked_too(tmp_path: Path) -> None:
    path = image(tmp_path, "signed")
    assert verify_image(path).faults == []
    assert any("signed by CN=barelm tests db, and bound to barelm.toml, model.blm" in note
               for note in verify_image(path).notes)
    content = json.loads(on(path, MANIFEST_PATH))
    other = model(6)
    content["files"]["model.blm"] = {"bytes": len(other), "sha256": hashlib.sha256(other).hexdigest()}
    put(path, "model.blm", other)
    put(path, MANIFEST_PATH, json.dumps(content).encode())
    assert verify_image(path).faults == ["model.blm is not the one the program is bound to: it will refuse it"]
    before = on(path, pipeline.PROGRAM_PATH)
    put(path, pipeline.PROGRAM_PATH, before[:PAGE] + bytes([before[PAGE] ^ 1]) + before[PAGE + 1:])
    assert any("the signature of the program is not one over it" in fault for fault in verify_image(path).faults)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"format": 1, "files": 7}', b'{"format": 2}',
                                     b'{"format": 1, "files": {"a": {"bytes": "x", "sha256": 1}}}'])
def test_a_manifest_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = image(tmp_path)
    put(path, MANIFEST_PATH, content)
    with pytest.raises(BarelmError, match=f"the {MANIFEST_PATH} on"):
        verify_image(path)


def test_an_image_without_a_manifest_and_no_image(tmp_path: Path) -> None:
    path = image(tmp_path)
    with open_editor(path) as volume:
        node = volume.find(MANIFEST_PATH)
        assert node is not None
        volume.delete(node)
    with pytest.raises(BarelmError, match="there is no MANIFEST.json"):
        verify(path, None, "hosted", Settings())
    (tmp_path / "x").write_bytes(b"anything")
    with pytest.raises(BarelmError, match="neither a receipt nor an image"):
        verify(tmp_path / "x", None, "hosted", Settings())


def test_the_bill_names_what_is_inside_and_what_built_it() -> None:
    bill = json.loads(bill_of_materials(b"program", ("m", "0" * 64)))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    versions = {part["name"]: part.get("version") for part in bill["components"]}
    assert versions["LLVM"] == llvm_version() and {"numba", "llvmlite", "m"} <= versions.keys()
    assert "Terminus" in str(versions) and "Unicode" in str(versions)
    assert bill["metadata"]["component"]["hashes"][0]["content"] == hashlib.sha256(b"program").hexdigest()


MAKE = """
import sys
from pathlib import Path
from barelm.commands.make import make_image
from barelm.pack.writer import write_packed
from barelm.pipeline import Packing
from barelm.settings import Settings
from tests.models import tiny_checkpoint

folder = Path(sys.argv[1])
write_packed(tiny_checkpoint(5), folder / "tiny.blm")
make_image(str(folder / "tiny.blm"), None, Packing(), Settings("to"), folder / "tiny.img", False, 512, 1)
"""


def test_the_same_bytes_in_any_folder_time_zone_and_order_of_sets(tmp_path: Path) -> None:
    program()
    digests = set()
    for name, zone, seed in (("a", "UTC", "0"), ("another folder, deeper", "Pacific/Kiritimati", "12345")):
        place = tmp_path / name / "x"
        place.mkdir(parents=True)
        environment = child_environment(TZ=zone, PYTHONHASHSEED=seed, LC_ALL="C", SOURCE_DATE_EPOCH="0")
        subprocess.run([sys.executable, "-c", MAKE, str(place)], env=environment, cwd=place, check=True,
                       capture_output=True)
        digests.add(tuple(hashlib.sha256((place / f"tiny.{kind}").read_bytes()).hexdigest() for kind in ("blm", "img")))
    assert len(digests) == 1


def test_a_manifest_is_of_the_files_alone(tmp_path: Path) -> None:
    files = pipeline.image_files(b"program", Path(folder().name) / "tiny.blm", SETTINGS)
    assert manifest(files, Packing(), "tiny", "s") == manifest(dict(reversed(files.items())), Packing(), "tiny", "s")
    assert read_packed(Path(folder().name) / "tiny.blm").name == "tiny"


def test_an_image_that_lost_its_end_is_not_as_it_was_made(tmp_path: Path) -> None:
    path = image(tmp_path)
    assert not verify_image(path).faults
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 512)
    assert any("the image is cut" in fault for fault in verify_image(path).faults)
