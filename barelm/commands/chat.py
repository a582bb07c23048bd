"""`barelm chat`: a machine booted into a conversation, its console this terminal.

What a conversation leaves on its volume is kept on the host: saved sessions, pictures, reports.
"""

from dataclasses import replace
from pathlib import Path

from barelm import pipeline
from barelm.aot.build import build_begun
from barelm.commands.boot import converse
from barelm.commands.make import CHAT_FREE_MB
from barelm.commands.progress import ProgressBar
from barelm.commands.run import machine_cores
from barelm.disk import open_volume
from barelm.disk.directory import Node
from barelm.errors import BarelmError
from barelm.host_files import data_folder, replace_file, working_folder
from barelm.machine.choice import quick_machine
from barelm.machine.machine import Spec
from barelm.pipeline import Order

FOLDER = "sessions"
KEPT = (".json", ".bmp")
"""Files in the root that are kept beside the sessions."""


def chat_with(order: Order, machine: str | None, display: bool) -> int:
    """Hold a conversation; the code is 1 where the program failed.  What it saves is there the next time."""
    order = replace(order, cores=machine_cores(order.memory_mb, order.cores))
    with ProgressBar() as bar, build_begun():
        chosen = quick_machine(machine, bar.note, display)
        model = pipeline.packed_model(order.model, order.tokenizer, order.packing, bar, order.memory_mb)
        if model.chat is None:
            raise BarelmError(f"{model.name} cannot chat: {model.chat_refusal}",
                              "Use `barelm run`, which completes a text.")
        pipeline.note_chat(model, order.settings, bar)
        program = pipeline.built_program(bar)
        with working_folder() as folder:
            settings = order.settings.but(chat=True, at_end="shutdown", wait=0, cores=order.cores).suited(True)
            image = pipeline.bootable_image(folder / "chat.img", program, model.path, settings, bar,
                                            free_bytes=CHAT_FREE_MB << 20, more=kept_sessions())
            spec = Spec(image, order.memory_mb or pipeline.memory_mb(model.memory_bytes), order.cores, writable=True)
            try:
                return converse(chosen, spec, bar)
            finally:
                for path in keep(image):
                    bar.note(f"Kept: {path}")


def kept_sessions() -> dict[str, Path]:
    """The sessions of earlier conversations, by their paths on a volume."""
    folder = data_folder() / FOLDER
    return {f"{FOLDER}/{path.name}": path for path in sorted(folder.glob("*")) if path.is_file()}


def keep(image: Path) -> list[Path]:
    """Copy what was written on an image to the host; returns what is new or changed there."""
    written = []
    with open_volume(image) as volume:
        for node in filter(_is_ours, volume.files()):
            path, content = data_folder() / node.path, volume.read(node, 0, node.size)
            if not path.is_file() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(path, content, 0o600)
                written.append(path)
    return written


def _is_ours(node: Node) -> bool:
    folder, _, name = node.path.rpartition("/")
    return (folder == FOLDER and not name.endswith("~")) or (not folder and name.endswith(KEPT))
