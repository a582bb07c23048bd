"""Choose what runs the guest's instructions: the host's virtualisation where it works, else QEMU's translator.

/dev/kvm can exist and fail, or hang, so an accelerator is trusted only after it has run a few instructions, among them
those a firmware begins with and a nested virtual machine may not know: it stops there, and goes on existing.
"""

import functools
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TCG = "tcg"

_PROBE_S, _LOOK_S = 10.0, 0.02
_PORT, _VALUE = 0xF4, 0x2A
_EXIT_CODE = _VALUE << 1 | 1            # what isa-debug-exit makes of the value
_ROM_BYTES, _RESET_VECTOR = 0x10000, 0xFFF0
_HALT = b"\xf4"
_PROGRAM = bytes((0x9B, 0xDB, 0xE3, 0xB0, _VALUE, 0xE6, _PORT))  # fwait; fninit; mov al, _VALUE; out _PORT, al
_STOPPED = b"internal error"
"""QEMU's words where an accelerator does not know an instruction: the machine stands still then, and does not end."""


@functools.cache
def best_accelerator(program: str) -> str:
    """The fastest accelerator of QEMU `program` that works here, as for `-accel`."""
    return next((name for name in candidates(sys.platform, is_x86_64()) if works(program, name)), TCG)


def is_x86_64() -> bool:
    """Whether this host is of the guest's architecture."""
    return platform.machine().lower() in ("x86_64", "amd64")


def candidates(system: str, same_architecture: bool) -> list[str]:
    """The accelerators to try on an operating system, as `sys.platform` names it."""
    if not same_architecture:
        return []
    kvm = ["kvm"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else []
    return {"linux": kvm, "darwin": ["hvf"], "win32": ["whpx"]}.get(system, [])


def arguments(accelerator: str, same_architecture: bool) -> list[str]:
    """QEMU's arguments for an accelerator, and the processor it can offer at most."""
    if accelerator == TCG:
        # One thread per core, which is only sound where the host orders memory as strictly as the guest expects.
        return ["-accel", "tcg,thread=multi" if same_architecture else "tcg", "-cpu", "max"]
    return ["-accel", accelerator, "-cpu", "max" if accelerator == "whpx" else "host"]


def works(program: str, accelerator: str) -> bool:
    """Whether a machine of a few instructions comes to its end under `accelerator`."""
    with tempfile.TemporaryDirectory(prefix="barelm-probe-") as folder:
        rom = Path(folder, "probe.rom")
        rom.write_bytes(_PROGRAM.rjust(_RESET_VECTOR + len(_PROGRAM), _HALT).ljust(_ROM_BYTES, _HALT))
        command = [
            program,
            "-machine", "q35",
            *arguments(accelerator, same_architecture=True),
            "-nodefaults", "-no-reboot",
            "-display", "none",
            "-bios", str(rom),
            "-device", f"isa-debug-exit,iobase={_PORT},iosize=1",
        ]
        with tempfile.TemporaryFile() as said:
            try:
                machine = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            except OSError:
                return False
            with machine:
                ends = time.monotonic() + _PROBE_S
                while machine.poll() is None and time.monotonic() < ends:
                    if _STOPPED in os.pread(said.fileno(), 1 << 16, 0):
                        break
                    time.sleep(_LOOK_S)
                machine.kill()
        return machine.returncode == _EXIT_CODE
