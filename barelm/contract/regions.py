"""The workspace: every byte the program works in beside the model, with its one owner.

A region is a field, so two cannot overlap; only its owner, the module named with it, refers to it, and gives
views to others (tests/test_rooms.py checks that).
"""

from barelm.contract.board import Board
from barelm.contract.console_state import ConsoleState, EditorState, KeyboardState
from barelm.contract.conversation_state import Conversation
from barelm.contract.layout import PAGE, TEXT_BYTES, Header
from barelm.contract.network.network_state import NetworkState
from barelm.contract.network.web_state import WebVolume
from barelm.contract.storage_state import Complaints, LoadProgress, ModelList, ModelParts, ModelVolume, Names
from barelm.contract.trust.hashing import FileHash
from barelm.contract.trust.receipt_state import ReceiptState
from barelm.contract.trust.trust_state import Trust
from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import U8

NOTHING, PAGES, EVENT, EXCLUSIVE, CHILD = range(5)
"""What a holding is: pages from an address on and how many; an event; a protocol on a handle that this program has for
itself alone, and where its GUID is; a child of a network service, and the address of its service binding.  Files are
not among them: their owners close them.
"""

MOST_HOLDINGS = 512


class Holding(Struct):
    """One thing."""

    kind: int
    what: int  # address, event or handle
    which: int  # how many pages; the address of the GUID, or of the service


class Ledger(Struct):
    """All the program has of the firmware, in the order it came, so that one way out gives all of it back.

    NOTHING is where something was given back.
    """

    n: int
    holdings: Array[Holding] = room(MOST_HOLDINGS)


class Workspace(Struct):
    """Taken at the start, zeroed, below 4 GiB where every disk controller can write."""

    board: Board = room(note="metal.main")
    ledger: Ledger = room(note="metal.arena")
    header: Header = room(align=PAGE, note="metal.storage.model_loader")
    configuration: U8 = room(TEXT_BYTES, note="metal.storage.configuration")  # its strings unescaped in place
    complaints: Complaints = room(note="metal.storage.configuration")
    console: ConsoleState = room(note="metal.console.sinks")
    keyboard: KeyboardState = room(note="metal.keys.keyboard")
    editor: EditorState = room(note="metal.keys.line_editor")
    status: U8 = room(512, note="metal.conversation.status_row")
    conversation: Conversation = room(note="metal.conversation.talk")
    volume: ModelVolume = room(note="metal.storage.volumes")
    web: WebVolume = room(note="metal.storage.volumes")
    names: Names = room(note="metal.storage.whole_files")
    models: ModelList = room(note="metal.storage.model_menu")
    parts: ModelParts = room(note="metal.storage.model_parts")
    progress: LoadProgress = room(note="metal.storage.model_loader")
    configuration_hash: FileHash = room(note="metal.storage.configuration")
    trust: Trust = room(note="metal.trust.loaded_files")
    network: NetworkState = room(note="metal.network.node_network")
    receipt: ReceiptState = room(note="metal.trust.receipts")
    memory_map: U8 = room(1 << 16, note="metal.arena")  # the firmware's
    bounce: U8 = room(1 << 20, align=PAGE, note="metal.storage.model_loader")  # for disks that cannot write higher
