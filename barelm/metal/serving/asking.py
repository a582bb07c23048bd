"""What is asked: read, encoded, and given to a slot, now or when one is free."""

from barelm.contract import layout
from barelm.contract.network.network_state import Connection
from barelm.contract.serving import http_state as http
from barelm.contract.serving.answer_state import BY_END, Answer
from barelm.contract.serving.http_state import RequestHead
from barelm.contract.serving.node_state import ANSWERED, WAITING, Exchange
from barelm.contract.serving.request_state import OLLAMA_CHAT, OLLAMA_TEXT, TOKENS, Terms
from barelm.contract.serving.slot_state import Slot
from barelm.contract.settings import THINKS, joined
from barelm.dialect.memory import address_of, cells, copy_bytes, text
from barelm.dialect.processor import cycles
from barelm.dialect.types import U8
from barelm.kernels.text.json_steps import begin_json_object
from barelm.kernels.text.tokenizer import piece
from barelm.kernels.web.answers.answer_fields import Telling
from barelm.kernels.web.answers.node_facts import put_content, put_count, put_tokens
from barelm.kernels.web.answers.status_lines import TOO_LONG as TOO_LONG_STATUS
from barelm.kernels.web.answers.telling import Refusal, put_whole
from barelm.kernels.web.request_members import put_param, put_reason
from barelm.kernels.web.request_target import query_value
from barelm.kernels.web.requests import form_of, read_request, read_tokens
from barelm.metal.conversation.talk import bytes_of
from barelm.metal.conversation.turns import today
from barelm.metal.network.connections import connection_at
from barelm.metal.serving import question_ids as encoding
from barelm.metal.serving.answering import begin_answer
from barelm.metal.serving.calls import no_calls
from barelm.metal.serving.counting import count_waiting, seconds_now
from barelm.metal.serving.node_views import NodeViews, exchange_at, fate_of, refuse, refuse_for, tell
from barelm.metal.serving.question_ids import question_ids
from barelm.metal.serving.saying import begin_saying
from barelm.metal.serving.slots import has_slot, slot_for, take_slot, take_terms

MOST_WAITING = 48
ANSWER_WORDS = Answer.BYTES // 8
RETRY_S = 2
THINK_OFF = THINKS.index("off")
WHY, WHY_AT = joined((
    "The model of this node holds no conversation: it has no chat template.  Use /v1/completions.",
    "The chat template of this model has no place for a system text.",
    "The chat template of this model has no place for tools.",
    "The chat template of this model has no place for what was said in this order.",
    "The prompt is longer than the context of this node.",
    "The prompt is empty, and this model needs one."))


def ask(node: NodeViews, k: int, c: Connection, x: Exchange) -> None:
    """Answer a request whose body says what; a question gets a slot, or waits for one."""
    head = x.head
    space = node.state.space
    if head.route == http.DETOKENIZE:
        detokenize(node, k, c, x)
        return
    api = form_of(head.route)
    bare = node.v.tool_flags & layout.BARE_TOOLS
    if read_request(c.received, head.body_lo, head.body_hi, api, node.t.settings, bare, space.terms, space.question,
                    space.reading) != 0:
        refuse_reading(node, k, api)
        return
    if space.terms.json_object != 0:
        space.terms.think = THINK_OFF
    if space.question.n_rows == 0 and (api == OLLAMA_CHAT or api == OLLAMA_TEXT):
        tell_ready(node, k)
        return
    n = question_ids(node.v, space, today(node.t), bytes_of(node.t.settings.system))
    if n < 0:
        refuse(node, k, api, TOO_LONG_STATUS if n == encoding.TOO_LONG else 400, 0, text(WHY)[WHY_AT[-1 - n]:])
    elif head.route == http.TOKENIZE:
        first = int(space.question.add_special == 0 and n > 0 and space.prompt[0] == node.v.bos_id)
        tell(node, k, put_tokens(node.state.out, 0, fate_of(head), space.prompt[first:n], node.v,
                                 space.question.with_pieces))
    elif head.route == http.COUNT_TOKENS:
        tell(node, k, put_count(node.state.out, 0, fate_of(head), n))
    elif n >= node.state.context:
        refuse(node, k, api, TOO_LONG_STATUS, 0, text(WHY)[WHY_AT[-1 - encoding.TOO_LONG]:])
    else:
        admit(node, k, x, n)


def admit(node: NodeViews, k: int, x: Exchange, n: int) -> None:
    """Give the question just encoded a slot, or have it wait."""
    slots = node.state.slots
    terms = node.state.space.terms
    full = count_waiting(node) >= MOST_WAITING or node.state.ending != 0
    if x.stage != WAITING and full:
        node.state.figures.n_refused += 1
        refuse(node, k, terms.api, 503, RETRY_S, text("This node has more to do than it can, or ends; ask again."))
        return
    if x.stage != WAITING:
        node.state.arrived += 1
        x.place = node.state.arrived
        x.n_ids = n
        x.n_more = terms.max_tokens
    number = slot_for(node.t, slots, node.state.space.prompt, n, x.n_more)
    if number >= 0:
        give_slot(node, k, x, number, n)
    else:
        x.stage = WAITING


def give_slot(node: NodeViews, k: int, x: Exchange, number: int, n: int) -> None:
    """Begin the answer in a slot."""
    slot = node.state.slots.slots[number]
    space = node.state.space
    copy_bytes(slot.terms.address, space.terms.address, Terms.BYTES)
    take_slot(node.t, node.state.slots, number, space.prompt, n)
    room = min(slot.positions, node.state.context)
    take_terms(node.t, slot, min(n + x.n_more, room) if x.n_more > 0 else room)
    slot.connection = k
    name_answer(node, slot, x)
    begin_json_object(slot.json)
    begin_saying(slot, node.v)
    x.stage = ANSWERED
    x.slot = number
    begin_answer(node, slot)


def admit_waiting(node: NodeViews) -> None:
    """Give slots to those that wait, the first first; a short request may find one where a long one does not."""
    while True:
        first = -1
        for k in range(node.net.state.n_places):
            x = exchange_at(node, k)
            if node.net.state.in_use[k] != 0 and x.stage == WAITING and has_slot(
                    node.state.slots, x.n_ids, x.n_more) and (first < 0 or x.place < exchange_at(node, first).place):
                first = k
        if first < 0:
            return
        x = exchange_at(node, first)
        ask(node, first, connection_at(node.net, first), x)
        if x.stage == WAITING:
            return


def name_answer(node: NodeViews, slot: Slot, x: Exchange) -> None:
    """What names an answer, and when it began."""
    a = slot.answer
    state = node.state
    state.mixed = state.mixed * 6364136223846793005 + (cycles() | 1)  # Knuth's MMIX generator, stirred by the clock
    a.number = state.mixed >> 1 & 0x7FFFFFFFFFFFFFFF
    a.created = seconds_now(node)
    a.connection = fate_of(x.head)
    a.n_calls = 0
    a.n_characters = 0
    a.n_blocks = 0
    a.block = 0


def refuse_reading(node: NodeViews, k: int, api: int) -> None:
    """Say what is wrong in a request, and which of its members is to blame."""
    reading = node.state.space.reading
    message = node.state.message
    n = max(put_reason(message, 0, reading), 0)
    end = max(put_param(message, n, reading), n)
    refuse_for(node, k, Refusal(api, 400, 0, fate_of(exchange_at(node, k).head), message[:n], message[n:end]))


def tell_ready(node: NodeViews, k: int) -> None:
    """Nothing was asked but that the model be there."""
    space = node.state.space
    slot = node.state.slots.slots[0]
    words = cells(ANSWER_WORDS)
    answer = Answer(address_of(words))
    answer.created = seconds_now(node)
    answer.connection = fate_of(exchange_at(node, k).head)
    answer.reason = BY_END
    telling = Telling(node.state.names, space.terms, answer, node.v)
    nothing = slot.text.text[:0]
    tell(node, k, put_whole(node.state.out, 0, telling, nothing, nothing, no_calls(node), slot.pairs[:0]))


def detokenize(node: NodeViews, k: int, c: Connection, x: Exchange) -> None:
    """Tokens as the text they stand for."""
    space = node.state.space
    n = read_tokens(c.received, x.head.body_lo, x.head.body_hi, node.t.header.vocab_size, space.prompt, space.terms,
                    space.question, space.reading)
    if n < 0:
        refuse_reading(node, k, TOKENS)
        return
    end = 0
    for i in range(n):
        lo, hi = piece(node.v, int(space.prompt[i - 1]) if i > 0 else -1, int(space.prompt[i]))
        hi = min(hi, lo + len(space.text) - end)
        copy_bytes(address_of(space.text) + end, address_of(node.v.pieces) + lo, hi - lo)
        end += hi - lo
    tell(node, k, put_content(node.state.out, 0, fate_of(x.head), space.text[:end]))


def wants_free_slot(data: U8, head: RequestHead) -> bool:
    """Whether a client wants an error where no slot is free: /slots?fail_on_no_slot=1."""
    lo, hi = query_value(data, head, text("fail_on_no_slot"))
    return hi > lo and data[lo] == 49
