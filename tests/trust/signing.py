"""A signed image with a tiny model, for the tests that change it."""

from __future__ import annotations

import functools
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from barelm.disk import write_image
from barelm.host_files import Source
from barelm.pack.writer import write_packed
from barelm.settings import Settings
from barelm.trust.binding import bound_and_signed
from barelm.trust.secure_boot_keys import make_signer
from barelm.trust.signed_data import Signer
from tests.built import program
from tests.models import tiny_checkpoint

BOOT = "EFI/BOOT/BOOTX64.EFI"
SETTINGS = Settings("to the sun", 0.0, tokens=12, report=True, at_end="shutdown")


@functools.cache
def signer() -> Signer:
    """A key, made once a process."""
    return make_signer("barelm tests db", datetime.now(UTC))


@functools.cache
def model(seed: int = 5) -> bytes:
    """A tiny model, packed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.blm"
        write_packed(tiny_checkpoint(seed, dim=48, hidden_dim=40, n_heads=6, n_kv_heads=2, tied=False), path)
        return path.read_bytes()


@functools.cache
def files(prefix: bytes | None = None) -> dict[str, bytes]:
    """The files of an image whose program is bound to the model, the configuration and a beginning, and signed."""
    bound: dict[str, Path | bytes] = {"barelm.toml": SETTINGS.toml(), "model.blm": model()}
    if prefix is not None:
        bound["prefix.session"] = prefix
    signed = bound_and_signed(program(), bound, signer())
    return {BOOT: signed, **{name: bytes(content) for name, content in bound.items() if isinstance(content, bytes)}}


def image(folder: Path, content: dict[str, bytes]) -> Path:
    """An image of files."""
    sources: dict[str, Source] = dict(content)
    write_image(folder / "signed.img", sources)
    return folder / "signed.img"
