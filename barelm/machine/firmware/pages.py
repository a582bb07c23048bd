"""Memory services: pages out of a fixed amount of RAM at fixed addresses, pools out of pages (UEFI 7.2)."""

import ctypes

from barelm.contract import uefi
from barelm.contract.uefi_protocols import BootServices, MemoryDescriptor
from barelm.machine.firmware.process import guest, native
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.process.native import PAGE
from barelm.machine.firmware.services import service

MAX_MEMORY_TYPE = 16

# As a PC has it: some RAM below the devices under 4 GiB, the rest above.  The first 256 MiB stay the process's own.
LOW_BASE, LOW_END, HIGH_BASE = 0x10000000, 0xC0000000, 0x100000000

DESCRIPTOR_BYTES = 48
_WRITE_BACK = 0x8
_GARBAGE = 0xAF
_GARBAGE_LIMIT = 1 << 20
_STEP = 1 << 26
_SMALLEST_SLOT, _LARGEST_SLOT = 16, 2048


def _reserve_low(n_bytes: int, low_base: int) -> int:
    """The address of as many of n bytes as there is room for below LOW_END.

    A Python that is no position-independent executable has its heap somewhere in its first GiB, each time elsewhere.
    """
    for base in range(low_base, LOW_END, _STEP):
        if native.reserve(min(n_bytes, LOW_END - base), base):
            return base
    raise MemoryError(f"no room for {n_bytes >> 20} MiB from {low_base:#x} on")


class Memory:
    """The RAM: regions [start, end) with a memory type, in order and without gaps inside a bank.

    What is free cannot be touched.  Fresh allocations up to 1 MiB are full of garbage, as on a real machine.
    """

    def __init__(self, memory_mb: int, low_base: int = LOW_BASE, guard_pages: int = 0) -> None:
        """Set aside `memory_mb` MiB, from `low_base` on or the first place above that is free.

        Behind what is allocated anywhere `guard_pages` stay free.  Raises MemoryError where the address space has no
        room.
        """
        self._guard = guard_pages * PAGE
        self.key = 1
        self._regions: list[tuple[int, int, int]] = []  # start, end, type
        self._pools: dict[int, tuple[int, int]] = {}  # address -> type, and bytes of the slot or of the pages
        self._slots: dict[tuple[int, int], list[int]] = {}
        n_bytes = memory_mb << 20
        low_base = _reserve_low(n_bytes, low_base)
        low = min(n_bytes, LOW_END - low_base)
        if n_bytes > low and not native.reserve(n_bytes - low, HIGH_BASE):
            raise MemoryError(f"no room for {(n_bytes - low) >> 20} MiB at {HIGH_BASE:#x}")
        for base, size in ((low_base, low), (HIGH_BASE, n_bytes - low)):
            if size:
                native.prefer_huge_pages(base, size)
                self._regions.append((base, base + size, uefi.CONVENTIONAL_MEMORY))

    def release(self) -> None:
        """Give the RAM back to the process: nothing of the machine may be touched any more."""
        for start, end, _ in self._regions:
            native.release(start, end - start)

    def free_pieces(self) -> list[tuple[int, int]]:
        """Where each piece of free memory starts and ends, in order."""
        return [(start, end) for start, end, kind in self._regions if kind == uefi.CONVENTIONAL_MEMORY]

    def kept_by_program(self) -> int:
        """Bytes the program took for its data and did not give back."""
        return sum(end - start for start, end, kind in self._regions if kind == uefi.LOADER_DATA)

    @property
    def n_pools(self) -> int:
        """How many pools there are."""
        return len(self._pools)

    def occupy(self, start: int, end: int) -> None:
        """Let what is free of [start, end) be somebody else's for good: what is left is in pieces."""
        for lo, hi in self.free_pieces():
            if max(lo, start) < min(hi, end):
                self._mark(max(lo, start), min(hi, end), uefi.RESERVED_MEMORY)

    def allocate(self, n_pages: int, kind: int, highest: int = guest.MASK) -> int:
        """The address of n pages that end at `highest` or below; the topmost there are.  Raises EfiError."""
        size = n_pages * PAGE
        for start, end, found in reversed(self._regions):
            at = min(end - self._guard, (highest + 1) // PAGE * PAGE) - size
            if found == uefi.CONVENTIONAL_MEMORY and at >= start:
                self._claim(at, at + size, kind)
                return at
        raise guest.EfiError(uefi.EFI_OUT_OF_RESOURCES)

    def pool(self, n_bytes: int, kind: int = uefi.BOOT_SERVICES_DATA) -> int:
        """The address of n bytes, a multiple of 16 or, from 2 KiB on, of a page.  Raises EfiError."""
        if n_bytes > _LARGEST_SLOT:
            size = -(-n_bytes // PAGE) * PAGE
            address = self.allocate(size // PAGE, kind)
        else:
            size = max(_SMALLEST_SLOT, 1 << (n_bytes - 1).bit_length() if n_bytes > 1 else 1)
            slots = self._slots.setdefault((kind, size), [])
            if not slots:
                page = self.allocate(1, kind)
                slots += range(page + PAGE - size, page - 1, -size)
            address = slots.pop()
            ctypes.memset(address, _GARBAGE, size)
        self._pools[address] = kind, size
        return address

    @service(BootServices)
    def allocate_pages(self, how: int, kind: int, n_pages: int, memory: int) -> None:
        """7.2.1"""
        require(how <= uefi.ALLOCATE_ADDRESS and memory and n_pages and _allocatable(kind))
        if how == uefi.ALLOCATE_ADDRESS:
            at = guest.word(memory)
            require(at % PAGE == 0)
            require(self._all_of(at, at + n_pages * PAGE, free=True), uefi.EFI_NOT_FOUND)
            self._claim(at, at + n_pages * PAGE, kind)
        else:
            highest = guest.word(memory) if how == uefi.ALLOCATE_MAX_ADDRESS else guest.MASK
            guest.put_word(memory, self.allocate(n_pages, kind, highest))

    @service(BootServices)
    def free_pages(self, memory: int, n_pages: int) -> None:
        """7.2.2"""
        require(memory % PAGE == 0 and n_pages)
        require(self._all_of(memory, memory + n_pages * PAGE, free=False), uefi.EFI_NOT_FOUND)
        native.discard(memory, n_pages * PAGE)
        native.protect(memory, n_pages * PAGE, native.NO_ACCESS)
        self._mark(memory, memory + n_pages * PAGE, uefi.CONVENTIONAL_MEMORY)

    @service(BootServices)
    def get_memory_map(self, size: int, descriptors: int, key: int, descriptor_size: int, version: int) -> None:
        """7.2.3; descriptors are longer than their fields, as they may be, so that nobody counts on the length."""
        needed = DESCRIPTOR_BYTES * len(self._regions)
        room = guest.word(size)
        guest.put_word(size, needed)
        if descriptor_size:
            guest.put_word(descriptor_size, DESCRIPTOR_BYTES)
        require(room >= needed, uefi.EFI_BUFFER_TOO_SMALL)
        require(descriptors)
        for i, (start, end, kind) in enumerate(self._regions):
            at = MemoryDescriptor(descriptors + i * DESCRIPTOR_BYTES)
            at.type, at.physical_start, at.virtual_start = kind, start, 0
            at.number_of_pages, at.attribute = (end - start) // PAGE, _WRITE_BACK
        if key:
            guest.put_word(key, self.key)
        if version:
            ctypes.c_uint32.from_address(version).value = 1

    @service(BootServices)
    def allocate_pool(self, kind: int, n_bytes: int, result: int) -> None:
        """7.2.4"""
        require(result and _allocatable(kind))
        require(n_bytes < 1 << 48, uefi.EFI_OUT_OF_RESOURCES)
        guest.put_word(result, self.pool(n_bytes, kind))

    @service(BootServices)
    def free_pool(self, address: int) -> None:
        """7.2.5"""
        require(address in self._pools)
        kind, size = self._pools.pop(address)
        if size > _LARGEST_SLOT:
            self.free_pages(address, size // PAGE)
        else:
            self._slots[kind, size].append(address)

    def _all_of(self, start: int, end: int, free: bool) -> bool:
        """Whether [start, end) is RAM and all of it is free, or all of it is not."""
        return end - start == sum(min(hi, end) - max(lo, start) for lo, hi, kind in self._regions
                                  if lo < end and hi > start and (kind == uefi.CONVENTIONAL_MEMORY) == free)

    def _claim(self, start: int, end: int, kind: int) -> None:
        """Hand out free pages."""
        require(native.protect(start, end - start, native.READ_WRITE), uefi.EFI_OUT_OF_RESOURCES)
        self._mark(start, end, kind)
        if end - start <= _GARBAGE_LIMIT:
            ctypes.memset(start, _GARBAGE, end - start)

    def _mark(self, start: int, end: int, kind: int) -> None:
        """Set the type of [start, end), all of it RAM; neighbours of one type become one region."""
        pieces: list[tuple[int, int, int]] = []
        for lo, hi, found in self._regions:
            pieces += [(lo, min(hi, start), found)] if lo < start else []
            pieces += [(max(lo, start), min(hi, end), kind)] if lo < end and hi > start else []
            pieces += [(max(lo, end), hi, found)] if hi > end else []
        merged: list[tuple[int, int, int]] = []
        for lo, hi, found in pieces:
            if merged and merged[-1][1:] == (lo, found):
                lo = merged.pop()[0]
            merged.append((lo, hi, found))
        self._regions = merged
        self.key += 1


def _allocatable(kind: int) -> bool:
    """Whether an EFI_MEMORY_TYPE may be asked for: not free memory, not persistent, not undefined."""
    return kind < MAX_MEMORY_TYPE and kind not in (uefi.CONVENTIONAL_MEMORY, 14, 15) or kind >= 0x70000000
