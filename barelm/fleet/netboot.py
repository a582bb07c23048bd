"""`barelm netboot`: a folder from which machines start over the network, by PXE or UEFI HTTP boot, to serve a model."""

import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from barelm import pipeline
from barelm.commands.make import signer_of
from barelm.commands.progress import ProgressBar
from barelm.errors import BarelmError
from barelm.fleet.boot_server import BOOT_FILE, dnsmasq_for_any
from barelm.host_files import Progress, sync_folder
from barelm.pack.reader import Packed
from barelm.pipeline import MODEL_PATH, SETTINGS_PATH, Order
from barelm.trust.binding import bound_and_signed
from barelm.trust.signed_data import Signer

_CHUNK = 8 << 20


@dataclass(frozen=True)
class BootServer:
    """Whoever serves the folder: an address, the port of its web server, and the addresses it gives away, if any."""

    address: str
    port: int = 80
    lease: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        """Where the folder is."""
        return f"http://{self.address}{f':{self.port}' * (self.port != 80)}/"


def boot_server(where: str, addresses: str) -> BootServer:
    """From `192.168.1.2` or `192.168.1.2:8000`, and `FIRST,LAST` or nothing.  Raises BarelmError."""
    address, _, port = where.partition(":")
    first, _, last = addresses.partition(",")
    try:
        lease = (str(IPv4Address(first)), str(IPv4Address(last))) if addresses else None
        found = BootServer(str(IPv4Address(address)), int(port or 80), lease)
        if not 1 <= found.port < 1 << 16 or (lease and IPv4Address(first) > IPv4Address(last)):
            raise ValueError("out of range")
        return found
    except ValueError as error:
        raise BarelmError(f"machines cannot start from {where!r}{f' with {addresses!r}' * bool(addresses)}",
                          "Give --server 192.168.1.2, :PORT behind it if not 80; --range 192.168.1.100,192.168.1.199."
                          ) from error


def write_netboot(folder: Path, order: Order, server: BootServer, key: Path | None, certificate: Path | None) -> int:
    """Write the folder for one model, whatever machine asks."""
    signer = signer_of(key, certificate)
    with ProgressBar() as bar:
        model = pipeline.packed_model(order.model, order.tokenizer, order.packing, bar)
        pipeline.check_asked(model, order.settings, bar)
        files = boot_files(model, order, pipeline.built_program(bar), signer)
        files |= {"dnsmasq.conf": dnsmasq_for_any(folder.absolute(), server.address, server.url, server.lease),
                  "README.txt": told(model.name, server.url, BOOT_FILE)}
        bar.step(f"Writing {folder}")
        write_folder(folder, files, bar.progress)
    print(f"{folder}: {MODEL_PATH}, {BOOT_FILE} and dnsmasq.conf; README.txt says what to start", file=sys.stderr)
    return 0


def boot_files(model: Packed, order: Order, program: Path, signer: Signer | None) -> dict[str, Path | bytes]:
    """The program, its configuration and its model, as a machine asks for them."""
    settings = order.settings.but(serve=True).suited(model.chat is not None).toml()
    bound: dict[str, Path | bytes] = {SETTINGS_PATH: settings, MODEL_PATH: model.path}
    return {**bound, BOOT_FILE: bound_and_signed(program, bound, signer) if signer else program}


def told(what: str, url: str, file: str) -> bytes:
    """Three lines for whoever finds the folder."""
    return (f"{what}, for machines that start over the network.  Serve this folder at {url} with any web server that "
            "knows ranges: caddy file-server --root . --listen :80\n"
            "Then, as root, for PXE and HTTP boot: dnsmasq --no-daemon --conf-file=dnsmasq.conf\n"
            f"Without dnsmasq: give the set-up of the firmware the address {url}{file} to boot from.\n").encode()


def write_folder(folder: Path, files: Mapping[str, Path | bytes], progress: Progress) -> None:
    """Write files into a folder, one that comes several times once.  All of them are complete beside it before the
    first has its name; of a new folder all get theirs at once.  Raises BarelmError where the file system refuses.
    """
    folder = folder.absolute()
    try:
        with _beside(folder) as fresh:
            _fill(fresh, files, progress)
            if not folder.exists():
                os.rename(fresh, folder)
            else:
                for name in files:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(fresh / name, folder / name)
            sync_folder(folder.parent)
    except OSError as error:
        raise BarelmError(f"cannot write {folder}: {error.strerror or error}",
                          "Choose a place that exists, may be written and has room.") from error


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    fresh = folder.with_name(f".{folder.name[:50]}.{secrets.token_hex(8)}.part")
    fresh.mkdir()
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _fill(folder: Path, files: Mapping[str, Path | bytes], progress: Progress) -> None:
    written: dict[Path | bytes, Path] = {}
    done, total = 0, sum(map(_size, {*files.values()}))
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content in written:
            with suppress(OSError):
                os.link(written[content], path)
                continue
        written[content] = path
        with open(path, "wb") as out:
            for block in _blocks(content):
                out.write(block)
                progress(done + out.tell(), total)
            out.flush()
            os.fsync(out.fileno())
            done += out.tell()


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _blocks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with open(content, "rb") as source:
        while block := source.read(_CHUNK):
            yield block
