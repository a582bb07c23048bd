"""`barelm models` and `barelm pull`: the models known by name, and fetching one without running it."""

from dataclasses import asdict
from typing import Any

from barelm.checkpoint.sources.catalogue import CATALOGUE, KnownModel
from barelm.checkpoint.sources.model_names import fetched_by_repository, find_known, resolve_model
from barelm.commands.progress import ProgressBar
from barelm.pack.memory_plan import LEAST_CONTEXT
from barelm.pipeline import FIRMWARE_MB
from barelm.printed import json_text, printable

_LINE = "{:20} {:9} {:>8}  {:>8}  {:16}  {}"


def list_models(as_json: bool) -> int:
    """What the catalogue holds, then what was downloaded by repository; sizes and memory are approximate."""
    rows = [_facts(row) for row in CATALOGUE.values()]
    if as_json:
        others = [{"name": name, "path": str(path), "where": "fetched"} for name, path in fetched_by_repository()]
        print(json_text(rows + others))
        return 0
    print(_LINE.format("NAME", "FAMILY", "SIZE", "MEMORY", "LICENCE", "WHERE"))
    for facts in rows:
        print(_LINE.format(facts["name"], facts["architecture"], _size(facts["megabytes"]), _size(facts["memory_mb"]),
                           facts["licence"], facts["where"] or "-"))
    for name, path in fetched_by_repository():
        print(f"{printable(name)}  {_size(path.stat().st_size / 1e6)}  fetched")
    return 0


def pull_model(name: str) -> int:
    """Fetch a model where it is not here already, and print where it lies."""
    with ProgressBar() as bar:
        bar.step(f"Looking for {name}")
        path, _ = resolve_model(name, None, bar.progress)
        bar.clear()
        print(path)
    return 0


def _facts(row: KnownModel) -> dict[str, Any]:
    """A row with the memory it takes beside a firmware, and where it is."""
    found = find_known(row)
    return {**asdict(row), "memory_mb": (row.memory_bytes(LEAST_CONTEXT) + (FIRMWARE_MB << 20)) / 1e6,
            "path": str(found.path) if found else None, "where": found.where if found else None}


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
