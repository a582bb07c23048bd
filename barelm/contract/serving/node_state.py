"""All that a node works in while it serves: a block of memory of its own."""

from barelm.contract.network.network_state import MOST_CONNECTIONS
from barelm.contract.serving.answer_state import NodeNames
from barelm.contract.serving.http_state import RequestHead
from barelm.contract.serving.node_figures import NodeFigures, SlotsOfNode
from barelm.contract.serving.request_state import BODY_BYTES
from barelm.contract.serving.slot_state import ServingSpace, Slots
from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import U8

LISTENING, WAITING, ANSWERED = range(3)
"""Stages of an exchange: a request comes, or none has; it is there and waits for a slot; a slot has it."""

OUT_BYTES = BODY_BYTES - 4096


class Exchange(Struct):
    """What goes on on a connection."""

    stage: int
    serial: int  # of the connection: another one begins anew
    slot: int
    place: int  # in the queue: the lowest is next
    n_ids: int  # of its question,
    n_more: int  # and of its answer at most; 0: as many as fit
    began: int  # cycles when the request was there, or the first byte of it
    begun: int  # 1: some of it was
    told: int  # 1: its client was told to go on sending (Expect: 100-continue)
    head: RequestHead


class NodeState(Struct):
    """A node."""

    slots: Slots
    space: ServingSpace
    names: NodeNames
    figures: NodeFigures
    slot_figures: SlotsOfNode
    context: int  # ids that prompt and answer may have together
    arrived: int  # counts questions
    ending: int  # 1: what is asked is answered still, and nothing more is
    began: int  # cycles when the node began,
    clock: int  # and seconds since 1970 then; 0: the machine has no clock
    mixed: int  # what answers are named from
    spare: int  # room for the logits of one token, unchanged (address); 0: there is none
    message: U8 = room(512)  # a sentence for a client
    exchanges: Array[Exchange] = room(MOST_CONNECTIONS)
    out: U8 = room(OUT_BYTES)  # what is put together before it is sent
