"""What a conversation leaves on its volume, kept on the host: saved sessions, pictures, reports."""

from pathlib import Path

from barelm.disk import open_volume
from barelm.disk.directory import Node
from barelm.host_files import data_folder, replace_file

FOLDER = "sessions"
KEPT = (".json", ".bmp")
"""Files in the root that are kept beside the sessions."""


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
                replace_file(path, content)
                written.append(path)
    return written


def _is_ours(node: Node) -> bool:
    folder, _, name = node.path.rpartition("/")
    return (folder == FOLDER and not name.endswith("~")) or (not folder and name.endswith(KEPT))
