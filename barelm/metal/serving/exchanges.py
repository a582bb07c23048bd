"""Connections as requests and answers: who is there, what came, what can be answered at once, and who has gone."""

from barelm.contract.network.network_state import BROKEN, ENDED, OPEN, SENDING_BYTES, Connection
from barelm.contract.serving import http_state as http
from barelm.contract.serving.node_state import ANSWERED, LISTENING, Exchange
from barelm.contract.serving.request_state import OPENAI_CHAT
from barelm.contract.serving.slot_state import FREE
from barelm.contract.settings import joined
from barelm.dialect.memory import text
from barelm.dialect.processor import cycles
from barelm.kernels.web.answers import node_facts
from barelm.kernels.web.answers.http_heads import put_preflight
from barelm.kernels.web.answers.node_facts import put_fact, put_slots
from barelm.kernels.web.http_request import COMPLETE, INCOMPLETE, is_allowed, read_head
from barelm.metal.conversation.talk import bytes_of
from barelm.metal.network.connections import (
    abandon_connection,
    connection_at,
    finish_connection,
    send_bytes,
    unsent,
)
from barelm.metal.serving import asking, node_page
from barelm.metal.serving.counting import count_slots
from barelm.metal.serving.node_views import (
    NodeViews,
    begin_exchange,
    exchange_at,
    fate_of,
    message_of,
    refuse,
    tell,
)
from barelm.metal.serving.slots import free_slot, n_told

REQUEST_S, IDLE_S, STUCK_S = 30, 300, 60
"""How long a request may take to come, a connection may be of no use, a client may take nothing of its answer."""
SENTENCES, SENTENCES_AT = joined(refusal.sentence for refusal in http.HTTP_REFUSALS)
FACTS = {http.HEALTH: node_facts.HEALTH, http.MODELS: node_facts.MODELS, http.MODEL: node_facts.MODEL,
         http.PROPS: node_facts.PROPS, http.METRICS: node_facts.METRICS, http.TAGS: node_facts.TAGS,
         http.OLLAMA_VERSION: node_facts.VERSION, http.OLLAMA_SHOW: node_facts.SHOW, http.OLLAMA_PS: node_facts.RUNNING}
FACT_OF = tuple(FACTS.get(route, -1) for route in range(http.WRONG_METHOD + 1))
"""What a route asks for; -1: no fact."""


def attend(node: NodeViews) -> None:
    """Look at every connection."""
    for k in range(node.net.state.n_places):
        x = exchange_at(node, k)
        if node.net.state.in_use[k] != 0:
            attend_one(node, k, connection_at(node.net, k), x)
        elif x.serial != 0:
            let_go(node, x)
            x.serial = 0


def attend_one(node: NodeViews, k: int, c: Connection, x: Exchange) -> None:
    """Look at a connection: somebody new, somebody who went, or a request."""
    if x.serial != c.serial:
        let_go(node, x)
        x.serial = c.serial
        begin_exchange(x)
    gone = c.stage == BROKEN or (c.stage == ENDED and x.stage != LISTENING)
    if gone or (unsent(c) > 0 and over(node, c.active_at, STUCK_S)):
        let_go(node, x)
        abandon_connection(node.net, k)
    elif (c.stage == OPEN or c.stage == ENDED) and x.stage == LISTENING and unsent(c) < SENDING_BYTES // 4:
        listen(node, k, c, x)


def over(node: NodeViews, since: int, seconds: int) -> bool:
    """Whether so many seconds are over."""
    return bool(cycles() - since > seconds * 1000 * node.t.figures.cycles_per_ms)


def let_go(node: NodeViews, x: Exchange) -> None:
    """Nobody waits for the answer any more."""
    if x.stage == ANSWERED:
        free_slot(node.state.slots.slots[x.slot])  # it has one until it is answered, and nobody else has that
    x.stage = LISTENING
    x.slot = -1


def listen(node: NodeViews, k: int, c: Connection, x: Exchange) -> None:
    """Read on in what has come of a request."""
    if c.n_received == 0:
        if c.stage == ENDED or over(node, x.began, IDLE_S):
            finish_connection(node.net, k)
        return
    if x.begun == 0:
        x.begun = 1
        x.began = cycles()
    found = read_head(c.received, c.n_received, x.head)
    if found == INCOMPLETE:
        await_rest(node, k, c, x)
    elif found == COMPLETE and x.head.refusal == 0:
        answer_request(node, k, c, x)
    else:
        refuse(node, k, OPENAI_CHAT, x.head.refusal, 0, text(SENTENCES)[SENTENCES_AT[x.head.why]:])


def await_rest(node: NodeViews, k: int, c: Connection, x: Exchange) -> None:
    """A request has come in part."""
    if c.stage == ENDED:
        finish_connection(node.net, k)
    elif over(node, x.began, REQUEST_S):
        x.head.keep_alive = 0
        refuse(node, k, OPENAI_CHAT, 408, 0, text("The request did not come to its end in time."))
    elif x.head.expects_continue != 0 and x.told == 0:
        x.told = 1
        go_on = message_of(node, text("HTTP/1.1 100 Continue\r\n\r\n"))
        send_bytes(node.net, k, go_on, 0, len(go_on))


def answer_request(node: NodeViews, k: int, c: Connection, x: Exchange) -> None:
    """Answer a request that is there, or see to it that it is answered."""
    head = x.head
    out = node.state.out
    fate = fate_of(head)
    open_to_all = head.route == http.PAGE or head.route == http.HEALTH or head.route == http.PREFLIGHT
    if not open_to_all and not is_allowed(c.received, head, bytes_of(node.t.settings.key)):
        refuse(node, k, OPENAI_CHAT, 401, 0, text("This node wants its key as a bearer token."))
    elif head.route == http.HEALTH and node.state.ending != 0:
        refuse(node, k, OPENAI_CHAT, 503, 0, text("This node ends, once what was asked is answered."))
    elif head.route == http.PREFLIGHT:
        tell(node, k, put_preflight(out, 0, fate))
    elif head.route == http.PAGE:
        tell(node, k, node_page.put_page(out, 0, fate))
    elif head.route == http.SLOTS:
        tell_slots(node, k, c, x)
    elif FACT_OF[head.route] >= 0:
        count_slots(node)
        tell(node, k, put_fact(out, 0, FACT_OF[head.route], fate, node.state.names, node.state.figures))
    elif head.route == http.EMBEDDINGS:
        refuse(node, k, OPENAI_CHAT, 501, 0, text("This node has no embeddings: its model says what comes next."))
    else:
        asking.ask(node, k, c, x)


def tell_slots(node: NodeViews, k: int, c: Connection, x: Exchange) -> None:
    """What the slots do; where a client says so, an error while none is free."""
    slots = node.state.slots
    free = False
    for j in range(n_told(slots)):
        free = free or slots.slots[j].stage == FREE
    if not free and asking.wants_free_slot(c.received, x.head):
        refuse(node, k, OPENAI_CHAT, 503, 1, text("No slot is free."))
        return
    count_slots(node)
    tell(node, k, put_slots(node.state.out, 0, fate_of(x.head), node.state.slot_figures))
