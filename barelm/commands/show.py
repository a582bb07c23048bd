"""`barelm show`: what a file holds, for a person or as JSON."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from barelm import pipeline
from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.sources.model_names import resolve_model
from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.contract.sections import BYTES, MATRIX, SECTIONS
from barelm.disk import open_volume
from barelm.errors import BarelmError
from barelm.host_files import no_progress, reading
from barelm.kernels.decoder.model import first_tensor
from barelm.kernels.encodings import TABLE
from barelm.pack.chat.chat_cutting import Chat
from barelm.pack.chat.tool_pieces import Tools
from barelm.pack.parts import header_on
from barelm.pack.reader import model_name, read_header, read_packed, text_of
from barelm.pipeline import MODEL_PATH, SETTINGS_PATH, Packing
from barelm.printed import json_text, printable

Facts = dict[str, Any]


def show_file(path: Path, as_json: bool, machine_mb: int, packing: Packing) -> int:
    """Find out what a file is, and print its facts; of a model also whether a machine of `machine_mb` holds it.

    Raises BarelmError where the format is unknown.
    """
    facts = facts_of(path, packing, machine_mb)
    if as_json:
        print(json_text(facts))
    else:
        print("\n".join(map(printable, _lines(facts))))
    return 0


def facts_of(path: Path, packing: Packing, machine_mb: int) -> Facts:
    """The facts of a file, by name; as `show_file`."""
    with reading(path), open(path, "rb") as file:
        start = file.read(1024)
    if not start:
        raise BarelmError(f"{path} is empty", "Give a .bin, .blm, .efi or .img.")
    if start[:8] == layout.MAGIC.to_bytes(8, "little"):
        return model_facts(path, machine_mb)
    if start[:2] == b"MZ":
        return program_facts(path)
    if start[510:512] == b"\x55\xaa":
        return image_facts(path, machine_mb)
    return checkpoint_facts(path, packing, machine_mb)


def checkpoint_facts(path: Path, packing: Packing, machine_mb: int) -> Facts:
    """A checkpoint's shape and format, and what it takes once it is packed; or why it cannot be."""
    from barelm.checkpoint.read import read_header as read_checkpoint_header

    header = read_checkpoint_header(path)
    return {"file": str(path), "what": header.format, "bytes": path.stat().st_size,
            **_shape_facts(header.shape), "tied": header.tied, "parameters": header.n_parameters,
            "packed": _packed_facts(path, packing, machine_mb)}


def _shape_facts(shape: Shape) -> Facts:
    """The sizes, and the traits in which a model is not a plain Llama."""
    sizes, plain = asdict(shape), asdict(Traits())
    traits = {name: value for name, value in sizes.pop("traits").items() if value != plain[name]}
    return {**sizes, **({"traits": traits} if traits else {})}


def _packed_facts(path: Path, packing: Packing, machine_mb: int) -> Facts | str:
    try:
        found, tokenizer = resolve_model(str(path), None, no_progress)
        return {"quant": packing.quant, **memory_facts(pipeline.planned(found, tokenizer, packing)[2], machine_mb)}
    except BarelmError as error:
        return f"cannot be: {error.message}"


def memory_facts(header: Header, machine_mb: int) -> Facts:
    """The memory a model takes, part by part, the smallest machine that has it beside what a firmware takes, and
    whether one of `machine_mb` (0: nobody asks) does.
    """
    asked = {"machine_mb": machine_mb, "fits": pipeline.fits(header, machine_mb)} if machine_mb else {}
    shape = ("seq_len", "weights_bytes", "state_bytes", "workspace_bytes", "memory_bytes")
    return {"kv": layout.KV_NAMES[header.kv_kind], **{name: int(getattr(header, name)) for name in shape},
            "assumed_for_firmware_bytes": pipeline.FIRMWARE_MB << 20,
            "least_machine_mb": pipeline.least_machine_mb(header), **asked}


def model_facts(path: Path, machine_mb: int) -> Facts:
    """A packed model's shape, tokenizer, sections and the memory it takes; every checksum is verified."""
    header = read_header(path)
    packed = read_packed(path)
    return {"file": str(path), **header_facts(header, machine_mb),
            "chat": packed.chat_refusal or chat_facts(packed.chat), "tools": tool_facts(packed.tools),
            "sections": sections_of(header), "checksums": "match"}


def chat_facts(chat: Chat | None) -> str:
    """What the pieces of a chat template can do, in words."""
    if chat is None:
        return "no"
    pieces = chat.pieces()
    facts = ["yes", "a system text before the last question" if pieces.system_moves else
             "a system text" if pieces.takes_system else "no place for a system text"]
    if chat.thinks:
        facts.append("thinks, can be told to or not to" if len(chat.sets) > 1 else "thinks")
    if any("\0" in text for text in (pieces.before_system, pieces.before_first_user)):
        facts.append("prints a date")
    return ", ".join(facts)


def tool_facts(tools: Tools | str) -> str:
    """Whether a chat template takes tools and in which form its model calls them, or why not."""
    if isinstance(tools, str):
        return f"no: {tools}"
    return f"yes, {'one call' if tools.one_call else 'calls'} in a reply, as {tools.call_form}"


def header_facts(header: Header, machine_mb: int) -> Facts:
    """What a model's header says."""
    shape = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "vocab_size", "batch")
    return {"what": f"packed model, layout {header.version}", "name": model_name(header),
            "bytes": int(header.file_bytes), **{name: int(getattr(header, name)) for name in shape},
            **memory_facts(header, machine_mb)}


def sections_of(header: Header) -> list[Facts]:
    """The section table; absent sections are left out."""
    found = []
    for number in range(header.n_sections):
        entry = header.sections[number]
        if entry.n_bytes:
            form = SECTIONS[number].form if number < len(SECTIONS) else BYTES
            kind = _encodings_of(header, number) if form is MATRIX else form.name
            found.append({"section": text_of(entry.name), "offset": int(entry.offset), "bytes": int(entry.n_bytes),
                          "rows": int(entry.rows), "cols": int(entry.cols), "kind": kind}
                         | ({"error": round(float(entry.error), 5)} if entry.error else {}))
    return found


def _encodings_of(header: Header, number: int) -> str:
    """The encodings of a section's tensors, each with how many tensors have it where there are several."""
    first, end = (first_tensor(header, k) for k in (number, number + 1))
    counts = Counter(TABLE[header.tensors[k].kind].name for k in range(first, end) if header.tensors[k].rows)
    return ", ".join(f"{name} x {count}" if len(counts) > 1 else name for name, count in counts.items())


def program_facts(path: Path) -> Facts:
    """A program's machine, sections, relocations."""
    from barelm.aot.pe import read_program

    facts = read_program(path.read_bytes(), str(path))
    return {"file": str(path), "what": "UEFI program", "bytes": facts.n_bytes, "machine": facts.machine,
            "subsystem": facts.subsystem, "entry": facts.entry, "relocations": facts.n_relocations,
            "sections": [{"section": name, "bytes": size} for name, size in facts.sections]}


def image_facts(path: Path, machine_mb: int) -> Facts:
    """An image's files, and what its model says of itself."""
    with open_volume(path) as volume:
        facts: Facts = {"file": str(path), "what": "disk image, " + ("GPT" if volume.offset else "plain FAT32"),
                        "bytes": path.stat().st_size, "volume_offset": volume.offset,
                        "cluster_bytes": volume.cluster_bytes,
                        "files": [{"path": entry.path, "bytes": entry.size} for entry in volume.files()]}
        if entry := volume.lookup(SETTINGS_PATH):
            facts["settings"] = volume.read(entry, 0, layout.TEXT_BYTES).decode(errors="replace").splitlines()
        if entry := volume.lookup(MODEL_PATH):
            facts["model"] = header_facts(header_on(volume, entry), machine_mb)
    return facts


def _lines(facts: Facts, indent: str = "") -> list[str]:
    """One fact a line, numbers grouped, lists below their name."""
    lines = []
    width = max(map(len, facts))
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines += [f"{indent}{name}", *(f"{indent}  {_in_a_row(item)}" for item in value)]
        else:
            lines.append(f"{indent}{name.ljust(width)}  {_shown(value)}")
    return lines


def _in_a_row(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    first, *others = item.items()
    return f"{first[1]!s:<24}" + "  ".join(f"{name} {_shown(value)}" for name, value in others)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
