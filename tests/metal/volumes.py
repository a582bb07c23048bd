"""A volume of callbacks: files and folders that are listed, read, written, renamed, deleted, and fail when told to."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from barelm.contract import uefi
from barelm.contract.uefi_protocols import FileInfo, FileIoToken, FileProtocol
from barelm.dialect.structs import Struct
from barelm.machine.firmware.devices.file_info import put_time

if TYPE_CHECKING:
    from tests.metal.fake import FakeFirmware

ERROR = -1 << 63
MODIFIED = (2026, 11, 24, 19, 31, 2)  # of every file

Handler = Callable[..., int]
Fault = Callable[[int, str], int]
"""The status of change number k (create, write, flush, delete, rename), 0: it is done."""


class Table:
    """Memory for a table of the firmware, written by the names of its fields."""

    def __init__(self, kind: type[Struct]) -> None:
        self.kind, self.fields = kind, kind.over(np.zeros(kind.BYTES, np.uint8))
        self._kept: list[Any] = []

    @property
    def address(self) -> int:
        """Where it lies."""
        return self.fields.address

    def put(self, **values: int) -> None:
        """Data."""
        for field, value in values.items():
            setattr(self.fields, field, value)

    def serve(self, service: str, handler: Handler) -> None:
        """A service; it takes what its table says."""
        prototype = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(self.kind.FIELDS[service].note))
        callback = prototype(failing(handler))
        self._kept.append(callback)
        self.put(**{service: ctypes.cast(callback, ctypes.c_void_p).value or 0})


def failing(handler: Handler) -> Handler:
    """The same, but what it raises fails the test and is an error to the program, which might try for ever else."""
    def answer(*arguments: int) -> int:
        try:
            return handler(*arguments)
        except BaseException as error:
            sys.unraisablehook(SimpleNamespace(
                exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__,
                err_msg="in a service of the fake firmware", object=handler))
            return ERROR | uefi.EFI_ABORTED

    return answer


@dataclass
class ReadsAhead:
    """What becomes of reads that are started (from 1); 0: none is so."""

    refused: int = 0
    failed: int = 0
    short: int = 0
    endless: int = 0
    spoilt: int = 0
    started: int = 0


class Changes:
    """What was done to a volume, and what of it fails."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fault: Fault = lambda k, what: 0
        self.flushed: dict[str, bytes] = {}  # what of a file written is surely on the medium

    def make(self, what: str) -> int:
        """Ask whether a change comes about; its status."""
        status = self.fault(len(self.done), what)
        self.done.append(what)
        return status and ERROR | status


class FakeFile:
    """An open file; or a folder, where `content` is None.  `path` is "" for the root and for a file of no volume."""

    def __init__(self, firmware: FakeFirmware, content: bytes | None, path: str = "") -> None:
        self.firmware, self.path, self.at, self.table = firmware, path, 0, Table(FileProtocol)
        self._content = content
        self.table.serve("open", self.open)
        self.table.serve("close", self.close)
        self.table.serve("delete", self.delete)
        self.table.serve("read", self.read)
        self.table.serve("write", self.write)
        self.table.serve("get_position", self.get_position)
        self.table.serve("set_position", self.set_position)
        self.table.serve("get_info", self.get_info)
        self.table.serve("set_info", self.set_info)
        self.table.serve("flush", self.flush)
        if firmware.reads_ahead is not None:
            self.table.put(revision=uefi.FILE_PROTOCOL_REVISION2)
            self.table.serve("read_ex", self.read_ex)

    @property
    def content(self) -> bytes:
        """Its bytes as they are now."""
        return (self.firmware.files or {}).get(self.path, self._content or b"") if self.path else self._content or b""

    @content.setter
    def content(self, content: bytes) -> None:
        self._content = content
        if self.path:
            assert self.firmware.files is not None
            self.firmware.files[self.path] = content

    def open(self, this: int, file: int, name: int, mode: int, attributes: int) -> int:
        assert self._content is None, "only a folder has files"
        path = "\\".join(part for part in (self.path, text_at(name)) if part)
        files, folders = self.firmware.files or {}, self.firmware.folders()
        known = {known.lower(): known for known in [*files, *folders]}.get(path.lower())
        if known is None and mode != uefi.FILE_MODE_CREATE:
            return ERROR | uefi.EFI_NOT_FOUND
        if mode != uefi.FILE_MODE_READ and known is not None and known in files and self.firmware.is_read_only:
            return ERROR | uefi.EFI_WRITE_PROTECTED
        if known is None:
            folder, _, alone = path.rpartition("\\")
            assert folder in (*folders, ""), "a file is created where its folder is"
            assert alone and not set(alone) & set('"*/:<>?\\|'), alone
            status = ERROR | uefi.EFI_WRITE_PROTECTED if self.firmware.is_read_only else 0
            if status := status or self.firmware.changes.make("create"):
                return status
            known = path
            if attributes & uefi.DIRECTORY:
                self.firmware.made_folders.append(path)
            else:
                files[path] = b""
                self.firmware.changes.flushed.pop(path, None)
        self.firmware.opened(None if known not in files else files[known], file, known)
        return 0

    def close(self, this: int) -> int:
        self.firmware.n_open -= 1
        return 0

    def delete(self, this: int) -> int:
        self.firmware.n_open -= 1
        if self.firmware.changes.make("delete") or self.firmware.files is None:
            return uefi.EFI_WARN_DELETE_FAILURE
        del self.firmware.files[self.path]
        self.firmware.changes.flushed.pop(self.path, None)
        return 0

    def read(self, this: int, size: int, target: int) -> int:
        wanted = load(size)
        if self._content is None:
            return self.next_entry(size, target)
        self.firmware.reads.append((self.at, wanted, target))
        if self.firmware.refuses_read(wanted, target):
            return ERROR | uefi.EFI_DEVICE_ERROR
        part = self.content[self.at:self.at + wanted]
        ctypes.memmove(target, part, len(part))
        self.at += len(part)
        store(size, len(part))
        return 0

    def read_ex(self, this: int, token: int) -> int:
        """A read that is done when it is asked for, unless the test has it end otherwise."""
        asked, ahead = FileIoToken(token), self.firmware.reads_ahead
        assert ahead is not None
        ahead.started += 1
        if ahead.started == ahead.refused:
            return ERROR | uefi.EFI_UNSUPPORTED
        status = self.read(this, token + FileIoToken.offset_of("buffer_size"), int(asked.buffer))
        asked.status = ERROR | uefi.EFI_DEVICE_ERROR if ahead.started == ahead.failed else status
        if ahead.started == ahead.short:
            asked.buffer_size -= 1
        if ahead.started == ahead.spoilt:
            ctypes.memset(int(asked.buffer), 0x55, 8)
        if ahead.started != ahead.endless:
            self.firmware.machine.events.signal(int(asked.event))
        return 0

    def next_entry(self, size: int, target: int) -> int:
        """EFI_FILE_INFO of the next file of a folder; nothing at the end."""
        if not self.firmware.lists_folders:
            return ERROR | uefi.EFI_UNSUPPORTED
        inside = [".", ".."] if self.path else []
        for path in [*(self.firmware.files or {}), *self.firmware.folders()]:
            folder, _, alone = path.rpartition("\\")
            if folder == self.path and alone:
                inside.append(alone)
        info = b""
        if self.at < len(inside):
            name = "\\".join(part for part in (self.path, inside[self.at]) if part)
            content = (self.firmware.files or {}).get(name)
            info = file_info(inside[self.at], len(content or b""), content is None)
        if len(info) > load(size):
            store(size, len(info))
            return ERROR | uefi.EFI_BUFFER_TOO_SMALL
        ctypes.memmove(target, info, len(info))
        store(size, len(info))
        self.at += 1
        return 0

    def write(self, this: int, size: int, source: int) -> int:
        status = self.firmware.changes.make("write")
        n = load(size)
        if status == 0 and n > self.firmware.room:
            n, status = max(self.firmware.room, 0), ERROR | uefi.EFI_VOLUME_FULL
        elif status:
            n = 0
        content = self.content
        self.content = content[:self.at] + ctypes.string_at(source, n) + content[self.at + n:]
        self.at += n
        self.firmware.room -= n
        store(size, n)
        return status

    def flush(self, this: int) -> int:
        if status := self.firmware.changes.make("flush"):
            return status
        self.firmware.changes.flushed[self.path] = self.content
        return 0

    def get_position(self, this: int, position: int) -> int:
        store(position, self.at)
        return 0

    def set_position(self, this: int, position: int) -> int:
        self.at = len(self.content) if position == uefi.END_OF_FILE else position
        return 0

    def get_info(self, this: int, kind: int, size: int, target: int) -> int:
        assert ctypes.string_at(kind, 16) == uefi.FILE_INFO.tobytes()
        info = file_info(self.path.rpartition("\\")[2], len(self.content), self._content is None)
        assert load(size) >= len(info)
        ctypes.memmove(target, info, len(info))
        store(size, len(info))
        return 0

    def set_info(self, this: int, kind: int, size: int, source: int) -> int:
        assert ctypes.string_at(kind, 16) == uefi.FILE_INFO.tobytes() and self.firmware.files is not None
        info = ctypes.string_at(source, size)
        assert int.from_bytes(info[:8], "little") == size and info[-2:] == b"\0\0"
        folder, alone = self.path.rpartition("\\")[0], info[80:-2].decode("utf-16-le")
        path = "\\".join(part for part in (folder, alone) if part)
        if status := self.firmware.changes.make("rename"):
            return status
        if path == self.path:
            self.content = self.content[:int.from_bytes(info[8:16], "little")]
            return 0
        if path.lower() in [known.lower() for known in self.firmware.files]:
            return ERROR | uefi.EFI_ACCESS_DENIED
        content = self.firmware.files.pop(self.path)
        if self.path in self.firmware.changes.flushed:
            self.firmware.changes.flushed[path] = self.firmware.changes.flushed.pop(self.path)
        self.path = path
        self.firmware.files[path] = content
        return 0


def file_info(name: str, n_bytes: int, is_folder: bool) -> bytes:
    """EFI_FILE_INFO (13.5.16)."""
    raw = (name + "\0").encode("utf-16-le")
    content = np.zeros(FileInfo.BYTES, np.uint8)
    info = FileInfo.over(content)
    info.size = uefi.INFO_NAME + len(raw)
    info.file_size = info.physical_size = n_bytes
    put_time(info.modification_time, MODIFIED)
    info.attribute = uefi.DIRECTORY if is_folder else 0x20
    content[uefi.INFO_NAME:info.size] = np.frombuffer(raw, np.uint8)
    return content[:info.size].tobytes()


def load(address: int) -> int:
    """The word at an address."""
    return ctypes.c_int64.from_address(address).value


def store(address: int, value: int) -> None:
    """Write the word at an address."""
    ctypes.c_int64.from_address(address).value = value


def text_at(address: int) -> str:
    """The UTF-16 text at an address, to its zero."""
    raw = bytearray()
    while (unit := ctypes.string_at(address + len(raw), 2)) != b"\0\0":
        raw += unit
    return raw.decode("utf-16-le", "surrogatepass")
