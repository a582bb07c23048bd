"""Find OVMF, the UEFI firmware that QEMU runs.

In this order: BARELM_OVMF_CODE and BARELM_OVMF_VARS; QEMU's firmware descriptors (docs/interop/firmware.json in
QEMU's source); the places where distributions put it.
"""

import fnmatch
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from barelm.errors import BarelmError
from barelm.machine.qemu_packages import install_hint

CODE_VARIABLE, VARS_VARIABLE = "BARELM_OVMF_CODE", "BARELM_OVMF_VARS"

_MACHINE = "pc-q35-7.2"                 # what descriptors match, as "pc-q35-*", against the board `q35` stands for
_ENROLLED = "enrolled-keys"             # these boot what others signed only
_SMM, _SECURE = "requires-smm", "secure-boot"
_SYSTEM_FOLDERS = (Path("/etc/qemu/firmware"), Path("/usr/local/share/qemu/firmware"), Path("/usr/share/qemu/firmware"))
_DESCRIPTOR_LIMIT = 1 << 20
_KNOWN = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),                     # Debian, Ubuntu
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),                           # older ones
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),                 # Fedora
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),             # Arch
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),     # openSUSE
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ("/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),
    ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
    ("/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
)
_KNOWN_SECURE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),             # Debian, Ubuntu
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),         # Fedora
    ("/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),     # Arch
)


@dataclass(frozen=True)
class Ovmf:
    """A firmware: its code, the template of its variables, and the formats QEMU is to read them in."""

    code: Path
    variables: Path
    code_format: str = "raw"
    variables_format: str = "raw"


def find_ovmf(program: Path | None = None, environment: Mapping[str, str] = os.environ, *, secure: bool = False
              ) -> Ovmf:
    """The firmware to boot with; `program` is QEMU, which may bring its own.  BarelmError where there is none.

    A `secure` one knows Secure Boot, with no keys enrolled.
    """
    named = _from_environment(environment)
    if named is not None and not secure:
        return named
    own = Path(environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "qemu", "firmware")
    share = program.resolve().parent.parent / "share" / "qemu" if program else None
    beside = program.resolve().parent / "share" if program else None        # QEMU on Windows
    folders = [own, *_SYSTEM_FOLDERS, *([share / "firmware"] if share else [])]
    known = [(Path(code), Path(variables)) for code, variables in _KNOWN]
    known += [(folder / "edk2-x86_64-code.fd", folder / "edk2-i386-vars.fd") for folder in (share, beside) if folder]
    known = [(Path(code), Path(variables)) for code, variables in _KNOWN_SECURE] if secure else known
    found = next(described(folders, secure=secure), None) or first_present(known)
    if found is None:
        raise BarelmError("OVMF, the UEFI firmware for QEMU, is not installed",
                          install_hint(f"{CODE_VARIABLE} and {VARS_VARIABLE} to its two files"))
    return found


def described(folders: Iterable[Path], *, secure: bool = False) -> Iterator[Ovmf]:
    """The fitting firmwares whose files exist, best first, from descriptors in `folders`.

    As the interface asks, a descriptor hides those of the same name in later folders, and names give the order.
    """
    descriptors: dict[str, Path] = {}
    for folder in folders:
        with suppress(OSError):
            for path in folder.glob("*.json"):
                descriptors.setdefault(path.name, path)
    for _, path in sorted(descriptors.items()):
        firmware = read_descriptor(path, secure=secure)
        if firmware is not None and firmware.code.is_file() and firmware.variables.is_file():
            yield firmware


def read_descriptor(path: Path, *, secure: bool = False) -> Ovmf | None:
    """The firmware a descriptor names if it is one we can use: UEFI for q35, in split flash, boots unsigned programs;
    or a `secure` one, which does until keys are enrolled.

    None for any other, and for a file that is no descriptor: such files are the distribution's affair.
    """
    try:
        if path.stat().st_size > _DESCRIPTOR_LIMIT:
            return None
        descriptor = json.loads(path.read_text("utf-8"))
        mapping = descriptor["mapping"]
        fits = ("uefi" in descriptor["interface-types"] and mapping["device"] == "flash"
                and mapping.get("mode", "split") == "split" and _ENROLLED not in descriptor["features"]
                and (_SECURE in descriptor["features"] if secure else _SMM not in descriptor["features"])
                and any(fnmatch.fnmatchcase(_MACHINE, board) for target in descriptor["targets"]
                        if target["architecture"] == "x86_64" for board in target["machines"]))
        if not fits:
            return None
        code, variables = mapping["executable"], mapping["nvram-template"]
        return Ovmf(Path(code["filename"]), Path(variables["filename"]), code["format"], variables["format"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def first_present(pairs: Iterable[tuple[Path, Path]]) -> Ovmf | None:
    """The first pair of code and variables of which both exist."""
    return next((Ovmf(code, variables) for code, variables in pairs if code.is_file() and variables.is_file()), None)


def _from_environment(environment: Mapping[str, str]) -> Ovmf | None:
    """The firmware the environment names; BarelmError where it names half of one, or a file that is absent."""
    code, variables = environment.get(CODE_VARIABLE), environment.get(VARS_VARIABLE)
    if not code and not variables:
        return None
    if not code or not variables:
        missing, given = (VARS_VARIABLE, CODE_VARIABLE) if code else (CODE_VARIABLE, VARS_VARIABLE)
        raise BarelmError(f"{given} is set but {missing} is not", f"Set {missing} too, or neither of them.")
    for name, path in ((CODE_VARIABLE, code), (VARS_VARIABLE, variables)):
        if not Path(path).is_file():
            raise BarelmError(f"{name} names {path}, where there is no file",
                              f"Set {name} to a file of OVMF, or unset it.")
    return Ovmf(Path(code), Path(variables))
