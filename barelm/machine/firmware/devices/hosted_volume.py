"""The volume the program was started from: SIMPLE_FILE_SYSTEM and EFI_FILE_PROTOCOL (UEFI 13.4, 13.5).

What is read goes from the disk image into the program's memory without a stop in between, what is written the other
way.  Nothing is held back: a service that returns has written its sectors.  Where UEFI leaves a choice, it is EDK II's.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from barelm.contract import uefi
from barelm.contract.uefi_protocols import FileIoToken, FileProtocol, SimpleFileSystem
from barelm.disk import Editor, VolumeFullError
from barelm.disk.directory import Folder, Node
from barelm.disk.medium import DamagedError
from barelm.disk.names import name_fault
from barelm.errors import BarelmError
from barelm.machine.firmware.devices.file_info import (
    file_size,
    pack_file_info,
    pack_file_system_info,
    parse_file_info,
)
from barelm.machine.firmware.events import Events
from barelm.machine.firmware.pages import Memory
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import EfiError, require
from barelm.machine.firmware.services import Services, service

_END = uefi.END_OF_FILE & guest.MASK
_CREATE = uefi.FILE_MODE_CREATE & guest.MASK
_LARGEST_INFO = 1 << 16


@dataclass
class OpenFile:
    """What a file handle stands for: a byte in a file, or the slot in a directory from which on it is read."""

    node: Node
    writable: bool = False
    position: int = 0


class Files:
    """The files of a volume; each handle is a table of its own in the program's memory."""

    def __init__(self, volume: Editor, memory: Memory, services: Services, events: Events) -> None:
        self._events = events
        self._volume = volume
        self._memory = memory
        self._services = services
        self._open: dict[int, OpenFile] = {}

    @property
    def n_open(self) -> int:
        """How many handles there are."""
        return len(self._open)

    @service(SimpleFileSystem)
    def open_volume(self, this: int, root: int) -> None:
        """13.4.2"""
        require(root)
        guest.put_word(root, self._handle(self._volume.root, self._volume.writable))

    @service(FileProtocol)
    def open(self, this: int, handle: int, name: int, mode: int, attributes: int) -> None:
        """13.5.2"""
        require(handle and name)
        require(mode in (uefi.FILE_MODE_READ, uefi.FILE_MODE_CHANGE, _CREATE))
        creates, changes = mode == _CREATE, mode != uefi.FILE_MODE_READ
        require(not creates or not attributes & ~(uefi.VALID_ATTRIBUTES & ~uefi.READ_ONLY))
        start, path = self._file(this).node, guest.string(name)
        node = self._find(start, path)
        if node is None:
            require(creates, uefi.EFI_NOT_FOUND)
            node = self._create(start, path, attributes)
        elif changes:
            require(self._volume.writable, uefi.EFI_WRITE_PROTECTED)
            require(isinstance(node, Folder) or not node.facts.attributes & uefi.READ_ONLY, uefi.EFI_ACCESS_DENIED)
        guest.put_word(handle, self._handle(node, changes))

    @service(FileProtocol)
    def close(self, this: int) -> None:
        """13.5.3"""
        self._file(this)
        del self._open[this]
        self._memory.free_pool(this)

    @service(FileProtocol)
    def delete(self, this: int) -> int | None:
        """13.5.4; closes the handle whether it deletes the file or not."""
        file = self._file(this)
        self.close(this)
        if not file.writable or not self._volume.writable or file.node.facts.attributes & uefi.READ_ONLY:
            return uefi.EFI_WARN_DELETE_FAILURE
        try:
            self._volume.delete(file.node)
        except BarelmError:
            return uefi.EFI_WARN_DELETE_FAILURE
        return None

    @service(FileProtocol)
    def read(self, this: int, size: int, buffer: int) -> None:
        """13.5.5"""
        file = self._file(this)
        if isinstance(file.node, Folder):
            self._read_directory(file, file.node, size, buffer)
            return
        require(self._is_there(file.node) and file.position <= file.node.size, uefi.EFI_DEVICE_ERROR)
        wanted = min(guest.word(size), file.node.size - file.position)
        if wanted:
            with self._on_disk(wanted, buffer, "read"):
                self._volume.readinto(file.node, file.position, guest.buffer(buffer, wanted))
        file.position += wanted
        guest.put_word(size, wanted)

    @service(FileProtocol)
    def read_ex(self, this: int, token: int) -> None:
        """13.5.8; done before it returns, and nothing says otherwise until the event is signaled."""
        require(token)
        asked = FileIoToken(token)
        if asked.event == 0:
            self.read(this, token + FileIoToken.offset_of("buffer_size"), int(asked.buffer))
            return
        try:
            self.read(this, token + FileIoToken.offset_of("buffer_size"), int(asked.buffer))
            asked.status = 0
        except EfiError as error:
            asked.status = error.status
        self._events.signal(int(asked.event))

    @service(FileProtocol)
    def write(self, this: int, size: int, buffer: int) -> None:
        """13.5.6; a file is written as a whole buffer or not at all."""
        file = self._file(this)
        require(not isinstance(file.node, Folder), uefi.EFI_UNSUPPORTED)
        require(self._volume.writable, uefi.EFI_WRITE_PROTECTED)
        require(file.writable, uefi.EFI_ACCESS_DENIED)
        require(self._is_there(file.node), uefi.EFI_DEVICE_ERROR)
        n = guest.word(size)
        require(file.position + n < 1 << 32, uefi.EFI_UNSUPPORTED)  # FAT has no such files
        if n:
            with self._on_disk(n, buffer, "written"):
                self._volume.write(file.node, file.position, guest.buffer(buffer, n))
        file.position += n

    @service(FileProtocol)
    def set_position(self, this: int, position: int) -> None:
        """13.5.11"""
        file = self._file(this)
        if isinstance(file.node, Folder):
            require(position == 0, uefi.EFI_UNSUPPORTED)
            file.position = 0
        else:
            file.position = file.node.size if position == _END else position

    @service(FileProtocol)
    def get_position(self, this: int, position: int) -> None:
        """13.5.12"""
        file = self._file(this)
        require(not isinstance(file.node, Folder), uefi.EFI_UNSUPPORTED)
        guest.put_word(position, file.position)

    @service(FileProtocol)
    def get_info(self, this: int, kind: int, size: int, buffer: int) -> None:
        """13.5.13"""
        file = self._file(this)
        wanted = guest.guid(kind)
        if wanted == bytes(uefi.FILE_INFO):
            require(self._is_there(file.node), uefi.EFI_DEVICE_ERROR)
            _give(pack_file_info(self._volume, file.node), size, buffer)
        elif wanted == bytes(uefi.FILE_SYSTEM_INFO):
            _give(pack_file_system_info(self._volume), size, buffer)
        else:
            raise EfiError(uefi.EFI_UNSUPPORTED)

    @service(FileProtocol)
    def set_info(self, this: int, kind: int, size: int, buffer: int) -> None:
        """13.5.14; the name, the size, the attributes and the times of a file."""
        file = self._file(this)
        require(self._volume.writable, uefi.EFI_WRITE_PROTECTED)
        require(guest.guid(kind) == bytes(uefi.FILE_INFO), uefi.EFI_UNSUPPORTED)
        require(uefi.INFO_NAME + 2 <= size <= _LARGEST_INFO, uefi.EFI_BAD_BUFFER_SIZE)
        require(self._is_there(file.node), uefi.EFI_DEVICE_ERROR)
        node = file.node
        try:
            info = parse_file_info(guest.read_bytes(buffer, size))
        except ValueError as error:
            raise EfiError(uefi.EFI_INVALID_PARAMETER) from error
        require(not info.attributes & ~uefi.VALID_ATTRIBUTES)
        is_folder = isinstance(node, Folder)
        require(is_folder == bool(info.attributes & uefi.DIRECTORY), uefi.EFI_ACCESS_DENIED)
        resized = info.size != file_size(node)
        require(not is_folder or not resized, uefi.EFI_ACCESS_DENIED)
        require(file.writable or not resized and self._names(node, info.name), uefi.EFI_ACCESS_DENIED)
        with self._on_disk(0, 0, "changed"):
            if not self._names(node, info.name):
                self._rename(node, info.name)
            if resized:
                self._volume.resize(node, info.size)
            if node.parent is not None and info.facts(node.facts) != node.facts:
                self._volume.describe(node, info.facts(node.facts))

    @service(FileProtocol)
    def flush(self, this: int) -> None:
        """13.5.15; nothing is ever pending."""
        require(self._file(this).writable or not self._volume.writable, uefi.EFI_ACCESS_DENIED)

    def _handle(self, node: Node, writable: bool) -> int:
        address = self._memory.pool(FileProtocol.BYTES)
        self._open[address] = OpenFile(node, writable)
        return self._services.table(FileProtocol, address, revision=uefi.FILE_PROTOCOL_REVISION2)

    def _file(self, this: int) -> OpenFile:
        require(this in self._open)
        return self._open[this]

    def _is_there(self, node: Node) -> bool:
        """Whether a file was not deleted meanwhile, through another handle."""
        return node.parent is not None or node is self._volume.root

    def _find(self, start: Node, path: str) -> Node | None:
        """What is at a path: from the root where it begins with a separator, else from a directory."""
        if not isinstance(start, Folder):
            return self._volume.find(path) if path[:1] in ("\\", "/") else None
        return self._volume.find(path, start)

    def _create(self, start: Node, path: str, attributes: int) -> Node:
        """Make what a path names, in a directory that is there."""
        parent, name = self._place(start, path)
        require(self._volume.writable, uefi.EFI_WRITE_PROTECTED)
        with self._on_disk(0, 0, "made"):
            node = self._volume.create(parent, name, directory=bool(attributes & uefi.DIRECTORY))
            wanted = node.facts.attributes | attributes & uefi.VALID_ATTRIBUTES
            if wanted != node.facts.attributes:
                self._volume.describe(node, replace(node.facts, attributes=wanted))
        return node

    def _place(self, start: Node, path: str) -> tuple[Folder, str]:
        """The directory a path leads into, and the name in it."""
        above, separator, name = path.replace("/", "\\").rstrip("\\").rpartition("\\")
        parent = self._find(start, above + separator) if separator else start
        if not isinstance(parent, Folder):
            raise EfiError(uefi.EFI_NOT_FOUND)
        require(name_fault(name) is None)
        return parent, name

    def _names(self, node: Node, name: str) -> bool:
        """Whether a name in EFI_FILE_INFO leaves a file the one it has; the root has the empty one."""
        return name == node.name or node.parent is not None and not name

    def _rename(self, node: Node, path: str) -> None:
        """Rename, relative to the directory a file is in; no other file is ever replaced."""
        require(node.parent is not None and not any(_is_below(file.node, node) for file in self._open.values()),
                uefi.EFI_ACCESS_DENIED)
        assert node.parent is not None
        parent, name = self._place(node.parent, path)
        there = parent.get(name)
        require(there is None or there is node, uefi.EFI_ACCESS_DENIED)
        self._volume.rename(node, parent, name)

    @contextmanager
    def _on_disk(self, n: int, buffer: int, done: str) -> Iterator[None]:
        """Turn what the volume refuses into a status; what only a bug in the program explains ends the machine."""
        try:
            yield
        except VolumeFullError as error:
            raise EfiError(uefi.EFI_VOLUME_FULL) from error
        except BarelmError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno == errno.EFAULT:
                where = "to" if done == "read" else "from"
                raise BarelmError(f"the program had {n} bytes {done} {where} {buffer:#x}, where it has no such room",
                                  "This is a bug in the program; please report it.") from error
            if isinstance(cause, OSError):
                raise EfiError(uefi.EFI_DEVICE_ERROR) from error
            damaged = isinstance(error, DamagedError)
            raise EfiError(uefi.EFI_VOLUME_CORRUPTED if damaged else uefi.EFI_ACCESS_DENIED) from error

    def _read_directory(self, file: OpenFile, folder: Folder, size: int, buffer: int) -> None:
        """One EFI_FILE_INFO at a time, of what is there now, and at the end nothing.

        As on the disk, and so in every firmware, a directory but the root begins with itself and the one above.
        """
        require(self._is_there(folder), uefi.EFI_DEVICE_ERROR)
        if folder.parent is not None and file.position < 2:
            _give(pack_file_info(self._volume, (folder, folder.parent)[file.position], "." * (file.position + 1)), size,
                  buffer)
            file.position += 1
            return
        child = next((node for node in folder.listed() if node.slot >= file.position), None)
        if child is None:
            guest.put_word(size, 0)
            return
        _give(pack_file_info(self._volume, child), size, buffer)
        file.position = child.slot + 1


def _is_below(node: Node, folder: Node) -> bool:
    """Whether something is in a directory, or in one in it: while that is open, the directory keeps its name."""
    return node.parent is not None and (node.parent is folder or _is_below(node.parent, folder))


def _give(content: bytes, size: int, buffer: int) -> None:
    """Fill a buffer of the program, or say how large it has to be."""
    room = guest.word(size)
    guest.put_word(size, len(content))
    require(room >= len(content), uefi.EFI_BUFFER_TOO_SMALL)
    guest.put_bytes(buffer, content)
