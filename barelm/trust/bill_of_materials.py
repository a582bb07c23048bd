"""What is inside the program and what built it, as a bill of materials in CycloneDX 1.5 (JSON)."""

import hashlib
import json
import sys
from importlib.metadata import version
from typing import Any

from barelm import __version__
from barelm.aot.build import llvm_version, source_key, tool_versions

BILL_PATH = "SBOM.cdx.json"

TERMINUS, UNICODE = "4.48", "16.0.0"
INSIDE = (
    {"type": "data", "name": "Terminus Font (modified)", "version": TERMINUS, "licenses": ["OFL-1.1"],
     "description": "the glyphs of the screen"},
    {"type": "data", "name": "Unicode Character Database", "version": UNICODE, "licenses": ["Unicode-3.0"],
     "description": "the categories of characters, in packed models"},
)
"""What of others is in a program and its model; the runtime's few routines are ours."""

_LICENSES = {"numba": "BSD-2-Clause", "llvmlite": "BSD-2-Clause", "LLVM": "Apache-2.0 WITH LLVM-exception",
             "python": "Python-2.0", "numpy": "BSD-3-Clause"}


def bill_of_materials(program: bytes, model: tuple[str, str] | None = None) -> bytes:
    """Of a program, and of the model on an image: its name and SHA-256.  The same ones give the same bytes."""
    components = [_component(dict(part)) for part in INSIDE]
    if model is not None:
        components.append({"type": "machine-learning-model", "name": model[0],
                           "hashes": [{"alg": "SHA-256", "content": model[1]}]})
    tools = {**tool_versions(), "LLVM": llvm_version(), "numpy": version("numpy"),
             "python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    components += [_component({"type": "application" if name == "python" else "library", "name": name, "version": told,
                               "licenses": [_LICENSES[name]], "scope": "excluded",
                               "description": "built the program; no part of it"}) for name, told in tools.items()]
    made = {
        "type": "firmware", "name": "barelm", "version": __version__, "licenses": _licenses(["MIT", "OFL-1.1"]),
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(program).hexdigest()}],
        "properties": [{"name": "barelm:sources", "value": source_key()}]}
    return (json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": made},
                        "components": components}, indent=1, ensure_ascii=False) + "\n").encode()


def _component(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "licenses": _licenses(part["licenses"])}


def _licenses(names: list[str]) -> list[dict[str, Any]]:
    return [{"expression": names[0]} if " " in names[0] else {"license": {"id": name}} for name in names]
