"""Everything a node uses."""

from typing import NamedTuple

from barelm.contract.board import Batch
from barelm.contract.network.network_state import Connection
from barelm.contract.serving.answer_state import CLOSED, KEPT, PLAIN
from barelm.contract.serving.http_state import HEAD, RequestHead
from barelm.contract.serving.node_state import LISTENING, Exchange, NodeState
from barelm.contract.serving.slot_state import Slot
from barelm.dialect.processor import cycles
from barelm.dialect.types import U8, U16
from barelm.kernels.text.dates import put_name
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.kernels.web.answers.answer_fields import Telling
from barelm.kernels.web.answers.http_heads import end_of_head
from barelm.kernels.web.answers.telling import Refusal, put_refusal
from barelm.kernels.web.http_request import begin_request
from barelm.metal.conversation.talk import Talk
from barelm.metal.network.connections import (
    Network,
    connection_at,
    drop_received,
    finish_connection,
    send_bytes,
)


class NodeViews(NamedTuple):
    """The model and what belongs to it, the network, and what is asked and answered."""

    t: Talk
    v: Vocabulary
    net: Network
    state: NodeState
    batch: Batch


def exchange_at(node: NodeViews, k: int) -> Exchange:
    """What goes on on connection k."""
    return node.state.exchanges[k]


def telling_of(node: NodeViews, slot: Slot) -> Telling:
    """The answer of a slot, to be told."""
    return Telling(node.state.names, slot.terms, slot.answer, node.v)


def fate_of(head: RequestHead) -> int:
    """What becomes of the connection behind the answer to a request."""
    if head.minor == 0 and head.keep_alive == 0:
        return PLAIN
    return KEPT if head.keep_alive != 0 else CLOSED


def tell(node: NodeViews, k: int, n: int) -> None:
    """Send a whole answer, n bytes of what was put together; of it only the head, where only that was asked for."""
    if n >= 0 and exchange_at(node, k).head.method == HEAD:
        n = end_of_head(node.state.out, 0, n)
    end_exchange(node, k, send_out(node, k, n))


def send_out(node: NodeViews, k: int, n: int) -> bool:
    """Send the first n bytes of what was put together; False where nothing was (-1), or there is no room."""
    return n >= 0 and send_bytes(node.net, k, node.state.out, 0, n)


def refuse(node: NodeViews, k: int, api: int, status: int, retry_s: int, message: U16) -> None:
    """Tell a client what is wrong, and be ready for its next request."""
    refuse_for(node, k, Refusal(api, status, retry_s, fate_of(exchange_at(node, k).head),
                                message_of(node, message), node.state.message[:0]))


def refuse_for(node: NodeViews, k: int, refusal: Refusal) -> None:
    """The same where it is known what of the request is to blame."""
    tell(node, k, put_refusal(node.state.out, 0, refusal))


def message_of(node: NodeViews, message: U16) -> U8:
    """A constant text, up to its zero, as bytes, until the next one is."""
    words = node.state.message
    return words[:max(put_name(words, 0, message, len(words)), 0)]


def end_exchange(node: NodeViews, k: int, is_told: bool) -> None:
    """The request is answered: another may follow, or the connection ends; it does where that could not be told."""
    x = exchange_at(node, k)
    c: Connection = connection_at(node.net, k)
    if not is_told or x.head.keep_alive == 0:
        finish_connection(node.net, k)
    else:
        drop_received(c, x.head.n_bytes)
    begin_exchange(x)


def begin_exchange(x: Exchange) -> None:
    """A request may come."""
    x.stage = LISTENING
    x.slot = -1
    x.begun = 0
    x.told = 0
    x.began = cycles()
    begin_request(x.head)
