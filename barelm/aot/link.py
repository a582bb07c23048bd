"""COFF objects to one PE32+ application, by LLVM's linker from the `ziglang` wheel."""

import subprocess
import tempfile
from pathlib import Path

from barelm.child_python import child_command, child_environment
from barelm.errors import BarelmError

FLAGS = ("/subsystem:efi_application", "/entry:efi_main", "/nodefaultlib", "/Brepro", "/opt:ref", "/opt:icf",
         "/debug:none", "/filealign:512", "/merge:.rdata=.text")


def link(objects: dict[str, bytes]) -> bytes:
    """Link; the same objects give the same bytes.  Raises BarelmError with the linker's words."""
    with tempfile.TemporaryDirectory(prefix="barelm-link-") as folder:
        names = []
        for name, content in objects.items():
            (Path(folder) / f"{name}.obj").write_bytes(content)
            names.append(f"{name}.obj")
        command = child_command("ziglang", "lld-link", *FLAGS, "/out:program.efi", *names)
        done = subprocess.run(command, cwd=folder, env=child_environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise BarelmError(f"linking the program failed: {done.stderr.strip()}",
                              "Check that the `ziglang` package is installed whole; `barelm doctor` looks at it.")
        return (Path(folder) / "program.efi").read_bytes()
