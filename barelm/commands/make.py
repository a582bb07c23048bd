"""`barelm pack`, `build` and `image`: each writes a file and prints its name; an existing one only if it was named."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from barelm import pipeline
from barelm.aot.build import build_program
from barelm.checkpoint.gguf import part_paths
from barelm.checkpoint.sources.model_names import resolve_model
from barelm.commands.progress import ProgressBar
from barelm.contract.layout import Header
from barelm.contract.session_file import PREFIX_PATH
from barelm.errors import BarelmError
from barelm.host_files import PACKAGE, Source, check_not_read, replace_file
from barelm.pack.reader import Packed, read_packed
from barelm.pipeline import Packing
from barelm.settings import Settings
from barelm.trust.bill_of_materials import BILL_PATH, bill_of_materials
from barelm.trust.binding import bound_and_signed, sha256_of
from barelm.trust.manifest import MANIFEST_PATH, manifest
from barelm.trust.signed_data import Signer, read_signer

FONT_LICENSE = PACKAGE / "metal" / "console" / "TERMINUS-LICENSE.txt"
_NOT_IN_A_NAME = re.compile(r"[^\w.-]")
CHAT_FREE_MB = 64
"""Left on the volume for conversations, unless told otherwise."""


def make_model(model: str, tokenizer: Path | None, packing: Packing, out: Path | None) -> int:
    """Pack a checkpoint."""
    with ProgressBar() as bar:
        path, tokenizer = resolve_model(model, tokenizer, bar.progress)
        # What another program keeps may be named by its digest.
        out = out or new_file(path.stem if path.suffix or os.path.exists(model) else model, ".blm")
        check_not_read(out, *part_paths(path), tokenizer or path.with_name("tokenizer.bin"))
        pipeline.pack(path, tokenizer, packing, out, bar)
        packed = read_packed(out, verify=False)
        pipeline.note_chat(packed, Settings(), bar)
        return _wrote(bar, out, memory_of(packed.header))


def make_program(out: Path | None, fresh: bool, checked: bool) -> int:
    """Compile the program, and put a copy where it is wanted."""
    out = out or new_file("barelm", ".efi")
    with ProgressBar() as bar:
        bar.step("Compiling the program")
        replace_file(out, build_program(fresh=fresh, checked=checked).read_bytes())
        return _wrote(bar, out)


def make_image(model: str, tokenizer: Path | None, packing: Packing, settings: Settings, out: Path | None,
               plain: bool, sector: int, free_mb: int | None, key: Path | None = None,
               certificate: Path | None = None) -> int:
    """Write a bootable image; for a conversation with room to save some, and with its system text already read.

    With a key the program is bound to the model, its configuration and that beginning, and signed.
    """
    if free_mb is None:
        free_mb = CHAT_FREE_MB if settings.chat else pipeline.RECEIPT_MB if settings.receipt else 0
    if free_mb < 0:
        raise BarelmError(f"cannot leave {free_mb} MiB free", "Give --free in MiB, 0 or more.")
    signer = signer_of(key, certificate)
    with ProgressBar() as bar:
        packed = pipeline.packed_model(model, tokenizer, packing, bar)
        pipeline.check_asked(packed, settings, bar)
        path, tokenizer = resolve_model(model, tokenizer, bar.progress)
        out = out or new_file(packed.name, ".img")
        check_not_read(out, *part_paths(path), tokenizer, packed.path)
        program = pipeline.built_program(bar)
        settings = settings.suited(packed.chat is not None)
        more: dict[str, Path | bytes] = {"FONT-LICENSE.txt": FONT_LICENSE}
        if packed.chat is not None and settings.template and (settings.chat or settings.system):
            if reason := pipeline.hosted_refusal(packed.memory_bytes):
                bar.note(f"The system text will be read at every start: {reason}.")
            else:
                prefix = pipeline.prefix_of(packed, settings, program, bar)
                more |= {PREFIX_PATH: prefix} if prefix else {}
        signed: bytes | None = None
        if signer is not None:
            bar.step("Signing")
            signed = bound_and_signed(program, {
                pipeline.SETTINGS_PATH: settings.toml(), pipeline.MODEL_PATH: packed.path,
                **({PREFIX_PATH: more[PREFIX_PATH]} if PREFIX_PATH in more else {})}, signer)
        more |= papers(signed or program.read_bytes(), packed, settings, packing, more)
        pipeline.bootable_image(out, signed or program, packed.path, settings, bar, plain=plain, sector=sector,
                                free_bytes=free_mb << 20, more=more, lasting=True)
        return _wrote(bar, out, memory_of(packed.header))


def papers(program: bytes, packed: Packed, settings: Settings, packing: Packing, more: Mapping[str, Source]
           ) -> dict[str, Path | bytes]:
    """What an image says of itself: its bill of materials, and the manifest of all that is on it."""
    bill = {BILL_PATH: bill_of_materials(program, (packed.name, sha256_of(packed.path)[1].hex()))}
    files = {**pipeline.image_files(program, packed.path, settings), **more, **bill}
    return {**bill, MANIFEST_PATH: manifest(files, packing, packed.name, repr(settings))}


def signer_of(key: Path | None, certificate: Path | None) -> Signer | None:
    """Who signs, where somebody does."""
    if key is None and certificate is None:
        return None
    if key is None or certificate is None:
        raise BarelmError("signing takes a key and its certificate",
                          "Give --sign KEY and --cert CERTIFICATE; `barelm keys` makes both.")
    return read_signer(key, certificate)


def new_file(name: str, suffix: str) -> Path:
    """Where to write what a person gave no name: into the current folder, under a name that is never a path.

    Raises BarelmError where there is such a file already.
    """
    out = Path((_NOT_IN_A_NAME.sub("_", name).lstrip(".-") or "model") + suffix)
    if os.path.lexists(out):
        raise BarelmError(f"{out} is there already", f"Give --output {out} to write over it, or another name.")
    return out


def memory_of(header: Header) -> str:
    """What a model takes, and which machine has that."""
    least = pipeline.least_machine_mb(header)
    machine = f"{least} MB" if least < 1024 else f"{least / 1024:g} GB"
    return (f"; it takes {pipeline.in_mb(int(header.memory_bytes))} of memory with a context of {header.seq_len:,}: "
            f"for a machine of {machine} or more")


def _wrote(bar: ProgressBar, out: Path, more: str = "") -> int:
    bar.clear()
    print(f"{out}: {out.stat().st_size:,} bytes{more}", file=sys.stderr)
    return 0
