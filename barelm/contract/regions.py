"""The workspace: every byte the program works in beside the model, with its one owner.

A region is a field, so two cannot overlap; only its owner, the module named with it, says its name, and hands out
views (tests/test_rooms.py holds everybody to it).
"""

from __future__ import annotations

from barelm.contract.board import Board
from barelm.contract.conversation_state import Conversation
from barelm.contract.layout import HEADER_BYTES, TEXT_BYTES, Header
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import U8


class Workspace(Struct):
    """Taken at the start, zeroed, below 4 GiB where every disk controller can write."""

    board: Board = room(note="metal.main")
    header: Header = room(at=HEADER_BYTES, note="metal.storage.model_loader")
    console: U8 = room(8192, note="metal.console.sinks")
    configuration: U8 = room(TEXT_BYTES, note="metal.main")  # barelm.toml, its strings unescaped in place
    line: U8 = room(16384, note="metal.keys.line_editor")
    history: U8 = room(16384, note="metal.keys.line_editor")  # lines typed before
    keyboard: U8 = room(4096, note="metal.keys.keyboard")
    serial: U8 = room(8192, note="metal.console.serial_line")
    display: U8 = room(4096, note="metal.console.display")
    names: U8 = room(8192, note="metal.storage.whole_files")  # file names, in UTF-16
    scratch: U8 = room(1 << 18, at=1 << 18, note="")
    conversation: Conversation = room(note="metal.conversation.talk")
    memory_map: U8 = room(1 << 16, note="metal.measuring.facts")  # the firmware's
