"""`barelm flash`: an image onto a stick, after a question, with every byte compared."""

import os
import sys
import time
from pathlib import Path

from barelm.commands.progress import ProgressBar
from barelm.disk import flashing
from barelm.disk.attached_disks import device_at, this_system
from barelm.disk.devices import Device, human_bytes, refuse
from barelm.errors import BarelmError
from barelm.host_files import reading
from barelm.printed import json_text, printable


def flash_image(image: Path, target: Path | None, fixed: bool, yes: bool, as_json: bool) -> int:
    """Write an image to a device; without one, list those there are and let the person choose."""
    disks = this_system()
    image_bytes, sector = _image_facts(image)
    if target is None:
        chosen = _choose(disks.removable(), image_bytes, sector, as_json)
        if chosen is None:
            return 0
        target = Path(chosen.path)
    device = device_at(disks, target)
    _check(device, image, image_bytes, fixed, sector)
    if not yes:
        _confirm(device)
    now = device_at(this_system(), target)
    if (now, now.identity) != (device, device.identity):
        raise BarelmError(f"{device.path} is not what it was when it was looked at", "Look again what it is.")
    disks.release(device)
    started = time.monotonic()
    n_bytes = _write(image, device)
    facts = {"device": device.path, "bytes": n_bytes, "seconds": round(time.monotonic() - started, 1), "verified": True}
    if as_json:
        print(json_text(facts))
    else:
        print(f"{device.path}: {n_bytes:,} bytes written and compared, {facts['seconds']} s", file=sys.stderr)
    return 0


def _image_facts(image: Path) -> tuple[int, int]:
    """Its size, and for which sectors it is."""
    with reading(image):
        size = image.stat().st_size
    with flashing.Content(image, size) as content:
        return content.bytes, content.sector


def _check(device: Device, image: Path, image_bytes: int, fixed: bool, sector: int) -> None:
    """Raise BarelmError where it must not or cannot be written, before anything is asked."""
    if device.is_file and os.path.samefile(device.path, image):
        raise BarelmError(f"{image} is to be both the image and the device", "Give another file or a disk.")
    refuse(device, image_bytes, fixed, sector)
    flashing.check_free(device)
    if not os.access(device.path, os.W_OK):
        raise flashing.no_permission(device)


def _choose(devices: list[Device], image_bytes: int, sector: int, as_json: bool) -> Device | None:
    """The device the person wants; None where there is nobody to ask."""
    reasons = [_why_not(device, image_bytes, sector) for device in devices]
    if as_json:
        print(json_text([{"path": device.path, "bytes": device.bytes, "model": device.model, "bus": device.bus,
                           "mounts": list(device.mounts), "why_not": reason or None}
                          for device, reason in zip(devices, reasons)]))
        return None
    if not devices:
        raise BarelmError("there is no removable disk", "Plug a stick in, or name the device.")
    print("\n".join(_table(devices, reasons)))
    usable = [device for device, reason in zip(devices, reasons) if not reason]
    if not (_somebody_is_there() and usable):
        print("\nGive one of them: barelm flash IMAGE DEVICE", file=sys.stderr)
        return None
    answer = _ask("\nWrite to which? (its number or name; nothing: to none) ")
    for number, device in enumerate(devices, 1):
        if answer in (str(number), device.name, device.path):
            return device
    raise BarelmError("nothing was written", "Choose a device by its number or its name.")


def _why_not(device: Device, image_bytes: int, sector: int) -> str:
    try:
        refuse(device, image_bytes, fixed=True, sector=sector)
    except BarelmError as error:
        return error.message
    return ""


def _table(devices: list[Device], reasons: list[str]) -> list[str]:
    """One line a device, in columns, and why it cannot be taken below it."""
    rows = [(str(number), device.path, human_bytes(device.bytes), device.model or "-", device.bus or "-",
             ", ".join(map(printable, device.mounts)) or "not mounted") for number, device in enumerate(devices, 1)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row, reason in zip(rows, reasons):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        lines += ["   " + reason] if reason else []
    return lines


def _confirm(device: Device) -> None:
    """Ask; BarelmError unless the answer is clear, and where nobody can give one."""
    if not _somebody_is_there():
        raise BarelmError(f"writing to {device.path} destroys what is on it, and there is no terminal to ask",
                          "Add --yes if that is meant.")
    if device.frees_itself and device.uses:
        print(f"It is mounted on {', '.join(map(printable, device.mounts))}, and will be unmounted.", file=sys.stderr)
    answer = _ask(f"All that is on {device.described()} will be lost.\nType {device.name} or yes to go on: ")
    if answer not in (device.name, device.path, "yes"):
        raise BarelmError("nothing was written", f"To go on, type {device.name} or yes.")


def _somebody_is_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(question: str) -> str:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def _write(image: Path, device: Device) -> int:
    """Write and compare; if anything ends this early, a line says that the device is incomplete."""
    with flashing.Content(image, device.bytes) as content, flashing.opened(device) as fd, ProgressBar() as bar:
        try:
            for what, work in (("Writing to", flashing.write), ("Comparing", flashing.verify)):
                bar.step(f"{what} {device.path}")
                bar.clear()  # a bar is coming, and while a spinner turns it would not be shown
                work(content, fd, device, bar.progress)
        except BaseException:
            bar.note(f"{device.path} is incomplete now: write to it again before booting from it.")
            raise
        flashing.reread_partitions(fd)
        return content.bytes
