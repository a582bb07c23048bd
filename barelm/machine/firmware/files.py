"""The volume the program was started from: SIMPLE_FILE_SYSTEM and EFI_FILE_PROTOCOL, read-only (UEFI 13.4, 13.5).

What is read goes from the disk image into the program's memory without a stop in between.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from barelm.disk import Entry, Volume
from barelm.errors import BarelmError
from barelm.machine.firmware import guest
from barelm.machine.firmware.guest import EfiError, require
from barelm.machine.firmware.memory import Memory
from barelm.machine.firmware.services import Services, service
from barelm.machine.firmware.tables import (
    EFI_BUFFER_TOO_SMALL,
    EFI_DEVICE_ERROR,
    EFI_INVALID_PARAMETER,
    EFI_NOT_FOUND,
    EFI_UNSUPPORTED,
    EFI_VOLUME_CORRUPTED,
    EFI_WARN_DELETE_FAILURE,
    EFI_WRITE_PROTECTED,
    FILE,
    FILE_INFO_ID,
    FILE_SYSTEM_INFO_ID,
)

MODE_READ, MODE_WRITE, MODE_CREATE = 1, 2, 1 << 63
ATTRIBUTE_READ_ONLY, ATTRIBUTE_DIRECTORY = 0x01, 0x10
LABEL = "BARELM"

_REVISION_2 = 0x00020000
_END = guest.MASK
_EFI_TIME_1980 = (1980).to_bytes(2, "little") + bytes((1, 1)) + bytes(12)


@dataclass(frozen=True)
class Directory:
    """A directory: its path without separators at its ends, and what is in it."""

    path: str
    children: dict[str, Entry | Directory] = field(default_factory=dict)


@dataclass
class OpenFile:
    """What a file handle stands for: a byte in a file, an entry in a directory."""

    what: Entry | Directory
    position: int = 0


class Files:
    """The files of a volume; each handle is a table of its own in the program's memory."""

    def __init__(self, volume: Volume, memory: Memory, services: Services) -> None:
        self._volume = volume
        self._memory = memory
        self._services = services
        self._root = _tree(volume)
        self._open: dict[int, OpenFile] = {}

    @service("EFI_SIMPLE_FILE_SYSTEM_PROTOCOL.OpenVolume")
    def open_volume(self, this: int, root: int) -> None:
        """13.4.2"""
        require(root)
        guest.put_word(root, self._handle(self._root))

    @service("EFI_FILE_PROTOCOL.Open")
    def open(self, this: int, handle: int, name: int, mode: int, attributes: int) -> None:
        """13.5.2"""
        require(handle and name)
        require(mode in (MODE_READ, MODE_READ | MODE_WRITE, MODE_READ | MODE_WRITE | MODE_CREATE))
        found = self._find(self._file(this).what, guest.string(name).replace("/", "\\"))
        require(mode == MODE_READ, EFI_WRITE_PROTECTED)
        guest.put_word(handle, self._handle(found))

    @service("EFI_FILE_PROTOCOL.Close")
    def close(self, this: int) -> None:
        """13.5.3"""
        self._file(this)
        del self._open[this]
        self._memory.free_pool(this)

    @service("EFI_FILE_PROTOCOL.Delete")
    def delete(self, this: int) -> int:
        """13.5.4; closes the handle and leaves the file."""
        self.close(this)
        return EFI_WARN_DELETE_FAILURE

    @service("EFI_FILE_PROTOCOL.Read")
    def read(self, this: int, size: int, buffer: int) -> None:
        """13.5.5"""
        file = self._file(this)
        if isinstance(file.what, Directory):
            self._read_directory(file, file.what, size, buffer)
            return
        require(file.position <= file.what.size, EFI_DEVICE_ERROR)
        wanted = min(guest.word(size), file.what.size - file.position)
        n = self._read_file(file.what, file.position, buffer, wanted) if wanted else 0
        file.position += n
        guest.put_word(size, n)

    @service("EFI_FILE_PROTOCOL.Write")
    def write(self, this: int, size: int, buffer: int) -> None:
        """13.5.6"""
        require(isinstance(self._file(this).what, Entry), EFI_UNSUPPORTED)
        raise EfiError(EFI_WRITE_PROTECTED)

    @service("EFI_FILE_PROTOCOL.SetPosition")
    def set_position(self, this: int, position: int) -> None:
        """13.5.11"""
        file = self._file(this)
        if isinstance(file.what, Directory):
            require(position == 0, EFI_UNSUPPORTED)
            file.position = 0
        else:
            file.position = file.what.size if position == _END else position

    @service("EFI_FILE_PROTOCOL.GetPosition")
    def get_position(self, this: int, position: int) -> None:
        """13.5.12"""
        file = self._file(this)
        require(isinstance(file.what, Entry), EFI_UNSUPPORTED)
        guest.put_word(position, file.position)

    @service("EFI_FILE_PROTOCOL.GetInfo")
    def get_info(self, this: int, kind: int, size: int, buffer: int) -> None:
        """13.5.13"""
        file = self._file(this)
        wanted = guest.guid(kind)
        if wanted == FILE_INFO_ID:
            name = "" if file.what is self._root else file.what.path.rpartition("/")[2]
            _give(_file_info(name, file.what), size, buffer)
        elif wanted == FILE_SYSTEM_INFO_ID:
            _give(self._file_system_info(), size, buffer)
        else:
            raise EfiError(EFI_UNSUPPORTED)

    @service("EFI_FILE_PROTOCOL.SetInfo")
    def set_info(self, this: int, kind: int, size: int, buffer: int) -> None:
        """13.5.14"""
        self._file(this)
        raise EfiError(EFI_WRITE_PROTECTED)

    @service("EFI_FILE_PROTOCOL.Flush")
    def flush(self, this: int) -> None:
        """13.5.15; nothing is ever pending."""
        self._file(this)

    def _handle(self, what: Entry | Directory) -> int:
        address = self._memory.pool(8 * len(FILE.words))
        self._open[address] = OpenFile(what)
        return self._services.table(FILE, address, Revision=_REVISION_2)

    def _file(self, this: int) -> OpenFile:
        if this not in self._open:
            raise EfiError(EFI_INVALID_PARAMETER)
        return self._open[this]

    def _find(self, start: Entry | Directory, path: str) -> Entry | Directory:
        """What is at a path: from the root where it begins with a separator, else from a directory."""
        require(isinstance(start, Directory) or path.startswith("\\"), EFI_NOT_FOUND)
        parts = [] if path.startswith("\\") else [part for part in start.path.split("/") if part]
        for part in path.split("\\"):
            if part == "..":
                require(parts, EFI_NOT_FOUND)
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        found: Entry | Directory | None = self._volume.lookup("/".join(parts)) or self._root
        if isinstance(found, Entry):
            return found
        for part in parts:
            found = found.children.get(part.casefold()) if isinstance(found, Directory) else None
        if found is None:
            raise EfiError(EFI_NOT_FOUND)
        return found

    def _read_file(self, entry: Entry, position: int, buffer: int, n: int) -> int:
        try:
            return self._volume.readinto(entry, position, guest.buffer(buffer, n))
        except BarelmError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno == errno.EFAULT:
                raise BarelmError(f"the program had {n} bytes read to {buffer:#x}, where it has no such room",
                                  "This is a bug in the program; please report it.") from error
            raise EfiError(EFI_DEVICE_ERROR if isinstance(cause, OSError) else EFI_VOLUME_CORRUPTED) from error

    def _read_directory(self, file: OpenFile, directory: Directory, size: int, buffer: int) -> None:
        """One EFI_FILE_INFO at a time, and at the end nothing."""
        children = list(directory.children.values())
        if file.position >= len(children):
            guest.put_word(size, 0)
            return
        child = children[file.position]
        _give(_file_info(child.path.rpartition("/")[2], child), size, buffer)
        file.position += 1

    def _file_system_info(self) -> bytes:
        """EFI_FILE_SYSTEM_INFO (13.5.17)."""
        used = sum(entry.size for entry in self._volume.files())
        label = LABEL.encode("utf-16-le") + bytes(2)
        fields = (36 + len(label), 1, used, 0)
        return (b"".join(value.to_bytes(8, "little") for value in fields)
                + self._volume.cluster_bytes.to_bytes(4, "little") + label)


def _tree(volume: Volume) -> Directory:
    """The directories of a volume, as far as there are files in them."""
    root = Directory("")
    for entry in volume.files():
        *parents, name = entry.path.split("/")
        directory = root
        for depth, parent in enumerate(parents, 1):
            child = directory.children.setdefault(parent.casefold(), Directory("/".join(parents[:depth])))
            if isinstance(child, Directory):
                directory = child
        directory.children[name.casefold()] = entry
    return root


def _file_info(name: str, what: Entry | Directory) -> bytes:
    """EFI_FILE_INFO (13.5.16)."""
    encoded = name.encode("utf-16-le") + bytes(2)
    size = what.size if isinstance(what, Entry) else 0
    attributes = ATTRIBUTE_READ_ONLY if isinstance(what, Entry) else ATTRIBUTE_DIRECTORY
    return (b"".join(value.to_bytes(8, "little") for value in (80 + len(encoded), size, size))
            + 3 * _EFI_TIME_1980 + attributes.to_bytes(8, "little") + encoded)


def _give(content: bytes, size: int, buffer: int) -> None:
    """Fill a buffer of the program, or say how large it has to be."""
    room = guest.word(size)
    guest.put_word(size, len(content))
    require(room >= len(content), EFI_BUFFER_TOO_SMALL)
    guest.put_bytes(buffer, content)
