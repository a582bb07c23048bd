"""What to tell a person whose host lacks QEMU or its UEFI firmware."""

import shutil

_COMMANDS = {
    "apt-get": "apt install qemu-system-x86 ovmf",
    "dnf": "dnf install qemu-system-x86-core edk2-ovmf",
    "pacman": "pacman -S qemu-system-x86 edk2-ovmf",
    "zypper": "zypper install qemu-x86 qemu-ovmf-x86_64",
    "apk": "apk add qemu-system-x86_64 ovmf",
    "brew": "brew install qemu",
    "winget": "winget install SoftwareFreedomConservancy.QEMU",
}


def install_command() -> str | None:
    """The command that installs QEMU and OVMF here, by the package manager this host has; None for a strange one."""
    return next((command for manager, command in _COMMANDS.items() if shutil.which(manager)), None)


def install_hint(variables: str) -> str:
    """What to do about a missing program or firmware that the environment `variables` can name instead."""
    command = install_command()
    how = f"Install QEMU and OVMF with `{command}`" if command else "Install QEMU and OVMF"
    return f"{how}, or set {variables}."
