"""`barelm ls` and `barelm cp`: the files of an image or a stick, without mounting it."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from barelm.commands.progress import ProgressBar
from barelm.disk import Editor, Volume, VolumeFullError, open_editor, open_volume
from barelm.disk.directory import Folder, Node, moment_of
from barelm.errors import BarelmError
from barelm.host_files import written_beside
from barelm.pack.parts import parts_after, parts_of, pieces_of
from barelm.printed import printable

_CHUNK = 8 << 20
_DRIVE = re.compile(r"[A-Za-z]:(?=[\\/])")


@dataclass(frozen=True)
class Place:
    """A path inside an image; a separator at its end says that it is a directory."""

    image: Path
    path: str

    def __str__(self) -> str:
        return f"{self.image}:{self.path}"


def parse_place(text: str) -> Place | None:
    """IMAGE:PATH, or None for a path of this system.

    The last colon counts, for FAT allows none in a name; that of a drive, as in C:\\x.img, never does.
    """
    if os.path.exists(text):
        return None
    drive = _DRIVE.match(text)
    start = drive.end() if drive else 0
    image, colon, path = text[start:].rpartition(":")
    return Place(Path(text[:start] + image), path.replace("\\", "/")) if colon and image else None


def list_files(what: str, as_json: bool) -> int:
    """List a directory of an image, or one file: sizes, times, names, and what is free."""
    place = parse_place(what) or Place(Path(what), "")
    with open_volume(place.image) as volume:
        found = _found(volume, place)
        nodes = found.listed() if isinstance(found, Folder) else [found]
        if as_json:
            entries = [{"name": node.name, "directory": isinstance(node, Folder), "bytes": node.size,
                        "modified": _moment(node, "T")} for node in nodes]
            print(json.dumps({"image": str(place.image), "path": found.path, "entries": entries,
                              "free_bytes": volume.free_bytes}))
            return 0
        for node in nodes:
            size = "" if isinstance(node, Folder) else f"{node.size:,}"
            print(f"{size:>15}  {_moment(node)}  {printable(node.name)}{'/' if isinstance(node, Folder) else ''}")
        print(f"{volume.free_bytes:>15,}  bytes free")
    return 0


def copy_files(paths: list[str]) -> int:
    """Copy files out of an image, or into one: `paths` are the sources and, last, where they go."""
    if len(paths) < 2:
        raise BarelmError("there is nothing to copy, or nowhere to copy it to", "Write: barelm cp SOURCE... TARGET")
    *sources, target = paths
    places = [parse_place(source) for source in sources]
    there = parse_place(target)
    with ProgressBar() as bar:
        if there is not None:
            if any(places):
                raise BarelmError("both sides of the copy are in an image",
                                  "Copy the files out to this system first, then in.")
            _copy_in([Path(source) for source in sources], there, bar)
            return 0
        inside = [place for place in places if place is not None]
        if len(inside) < len(places):
            raise BarelmError(f"neither {sources[places.index(None)]} nor {target} is in an image",
                              "Write IMAGE:PATH for the side that is: barelm cp stick.img:report.json .")
        _copy_out(inside, Path(target), target.endswith(("/", os.sep)), bar)
    return 0


def _copy_in(sources: list[Path], target: Place, bar: ProgressBar) -> None:
    """Copy files of this system into an image."""
    for source in sources:
        if source.is_dir():
            raise _no_directories(str(source))
        if not source.exists():
            raise BarelmError(f"there is no file {source}", "Check the path.")
        if target.image.exists() and source.samefile(target.image):
            raise BarelmError(f"{source} is the image itself", "Name another file.")
    with open_editor(target.image) as volume:
        into = len(sources) > 1 or target.path[-1:] in ("", "/") or isinstance(volume.find(target.path), Folder)
        for source in sources:
            path = f"{target.path.rstrip('/')}/{source.name}" if into else target.path
            bar.step(f"Copying {source.name} to {target.image.name}")
            _save(volume, path.lstrip("/"), source, bar)


def _save(volume: Editor, path: str, source: Path, bar: ProgressBar) -> None:
    """Copy a file into an image, a model too large for one in several, its beginning last; older parts of one go."""
    files = parts_of(path, source)
    if len(files) > 1 and source.stat().st_size > volume.free_bytes:
        raise VolumeFullError(f"{volume.medium.path} has {volume.free_bytes:,} bytes free, and {source.name} has "
                              f"{source.stat().st_size:,}", "Delete something there, or take a larger one.")
    for name, content in reversed(files.items()):
        node = volume.save(name, content, bar.progress)
    for part in parts_after(volume, node, len(files)):
        volume.delete(part)


def _copy_out(sources: list[Place], target: Path, into: bool, bar: ProgressBar) -> None:
    """Copy files of images to this system."""
    if not target.is_dir() and (into or len(sources) > 1):
        raise BarelmError(f"{target} is not a directory", "Create it first, or copy one file to a name.")
    for place in sources:
        with open_volume(place.image) as volume:
            found = _found(volume, place)
            if isinstance(found, Folder):
                raise _no_directories(str(place))
            out = target / printable(found.name) if target.is_dir() else target
            if out.exists() and out.samefile(place.image):
                raise BarelmError(f"{out} is the image itself", "Copy to another name.")
            bar.step(f"Copying {found.name} from {place.image.name}")
            with written_beside(out) as beside, open(beside, "wb") as file:
                for content in _contents(volume, found, bar):
                    file.write(content)


def _contents(volume: Volume, node: Node, bar: ProgressBar) -> Iterator[bytes]:
    """A file in chunks; a model that is in several files as one."""
    pieces = pieces_of(volume, node)
    done, total = 0, sum(piece.n_bytes for piece in pieces)
    for piece in pieces:
        for at in range(0, piece.n_bytes, _CHUNK):
            content = volume.read(piece.node, piece.offset + at, min(_CHUNK, piece.n_bytes - at))
            yield content
            done += len(content)
            bar.progress(done, total)


def _found(volume: Volume, place: Place) -> Node:
    node = volume.find(place.path)
    if node is None or place.path.endswith("/") and not isinstance(node, Folder):
        raise BarelmError(f"there is no {place.path} in {place.image}",
                          f"`barelm ls {place.image}` says what there is.")
    return node


def _no_directories(name: str) -> BarelmError:
    return BarelmError(f"{name} is a directory", "Directories are not copied: name the files in it.")


def _moment(node: Node, between: str = " ") -> str:
    """When it was last written to, as ISO 8601 has it, to the minute."""
    year, month, day, hour, minute, _ = moment_of(*node.facts.modified)
    return f"{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}"
