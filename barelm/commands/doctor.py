"""`barelm doctor`: what this host has and lacks."""

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from barelm.errors import BarelmError
from barelm.host_files import cache_folder
from barelm.machine.choice import machines
from barelm.printed import json_text


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `needed` ones decide the exit code."""

    what: str
    good: bool
    says: str
    needed: bool = True


def examine(as_json: bool) -> int:
    """Look at everything; 1 where something that every command needs is missing."""
    findings = [look() for look in LOOKS] + _machines()
    if as_json:
        print(json_text([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mark = "ok" if finding.good else "MISSING" if finding.needed else "absent"
            print(f"{mark:8} {finding.what:18} {finding.says}")
    return int(any(finding.needed and not finding.good for finding in findings))


def _python() -> Finding:
    return Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.system()} "
                                                          f"{platform.machine()}")


def _packages(what: str, *names: str, without: str = "", needed: bool = True) -> Finding:
    """Whether packages are installed, and which versions; what to say `without`."""
    try:
        return Finding(what, True, ", ".join(f"{name} {version(name)}" for name in names), needed)
    except PackageNotFoundError as error:
        return Finding(what, False, without or f"{error.name} is not installed: run `pip install barelm` again", needed)


def _cache() -> Finding:
    try:
        folder = cache_folder("programs").parent
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except (BarelmError, OSError) as error:
        return Finding("cache", False, str(error))
    free = shutil.disk_usage(folder).free
    return Finding("cache", True, f"{folder}: {n_bytes / 1e6:,.1f} MB used, {free / 1e9:,.1f} GB free")


def _program() -> Finding:
    from barelm.aot.build import is_built

    return Finding("program", True, "compiled" if is_built() else "not compiled yet: the first run does it")


LOOKS: tuple[Callable[[], Finding], ...] = (
    _python, partial(_packages, "compiler", "numba", "llvmlite"),
    partial(_packages, "downloads", "huggingface_hub", needed=False,
            without="models by name, but for the default one, need `pip install 'barelm[hub]'`"),
    partial(_packages, "batches", "ray", needed=False,
            without="batches over many nodes need `pip install 'barelm[fleet]'`"), _cache, _program)


def _machines() -> list[Finding]:
    """Each machine alone may be absent, but not all."""
    reasons = {name: machine.why_not() for name, machine in machines().items()}
    lonely = all(reason is not None for reason in reasons.values())
    return [Finding(name, reason is None, reason or "ready" + _detail(name), needed=lonely)
            for name, reason in reasons.items()]


def _detail(name: str) -> str:
    if name != "qemu":
        return ""
    from barelm.machine import accelerator, qemu
    from barelm.machine.ovmf import find_ovmf

    program = qemu.find_program()
    return f": {program}, {find_ovmf(Path(program)).code}, accelerator {accelerator.best_accelerator(program)}"
