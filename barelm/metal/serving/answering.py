"""Answers on their way: the next token of each, what it says, and the client told of it."""

from barelm.contract.serving.answer_state import BY_CALL, BY_END, BY_LENGTH, TEXT, THOUGHT
from barelm.contract.serving.slot_state import MAKING, READING, Slot
from barelm.dialect.memory import address_of, copy_bytes, f32_array, memory
from barelm.dialect.processor import cycles
from barelm.dialect.sentences import sentence
from barelm.dialect.types import F32, I64, f32, padded
from barelm.kernels.decoder.state import bind_logits
from barelm.kernels.logprobs import tell_probabilities
from barelm.kernels.session import ends
from barelm.kernels.text.json_steps import is_whole, may_follow, push_all
from barelm.kernels.text.tokenizer import piece
from barelm.kernels.web.answers.telling import put_call, put_ending, put_opening, put_piece, put_waiting, put_whole
from barelm.metal.console.sinks import DIM
from barelm.metal.console.writing import say
from barelm.metal.network.connections import abandon_connection, connection_at, room_to_send
from barelm.metal.serving.calls import calls_in, told_free
from barelm.metal.serving.node_views import NodeViews, begin_exchange, end_exchange, exchange_at, send_out, telling_of
from barelm.metal.serving.saying import GOES_ON, forget_told, say_rest, say_token, whole_characters
from barelm.metal.serving.shared_passes import choose_token
from barelm.metal.serving.slots import free_slot, tokens_of

SIGN_S = 5
"""How often a client is told that its long prompt is still read."""


def answer_all(node: NodeViews) -> None:
    """The next token of every answer the last pass has logits for; a sign of life to those that wait for their first.
    """
    for k in range(node.state.slots.n):
        slot = node.state.slots.slots[k]
        if slot.row >= 0 and (slot.stage == READING or slot.stage == MAKING):
            go_on(node, slot)
        elif slot.stage == READING and slot.terms.stream != 0:
            give_sign(node, slot)


def begin_answer(node: NodeViews, slot: Slot) -> None:
    """A stream has its head at once."""
    slot.signed = cycles()
    if slot.terms.stream != 0:
        deliver(node, slot, put_opening(node.state.out, 0, telling_of(node, slot)))


def give_sign(node: NodeViews, slot: Slot) -> None:
    """Now and then."""
    if cycles() - slot.signed > SIGN_S * 1000 * node.t.figures.cycles_per_ms:
        slot.signed = cycles()
        deliver(node, slot, put_waiting(node.state.out, 0, telling_of(node, slot)))


def go_on(node: NodeViews, slot: Slot) -> None:
    """One token more of an answer, or its end."""
    reason = BY_END
    if slot.terms.json_object == 0 or not is_whole(slot.json):
        logits = bind_logits(node.t.header, memory(node.t.model.state, node.t.header.state_bytes), slot.row)
        if slot.terms.json_object != 0:
            hold_to_json(node, slot, logits)
        kept = keep_logits(node, slot, logits)
        token = choose_token(node.t, slot)
        if not ends(node.t.header, token):
            reason = take_token(node, slot, token, kept)
    slot.answer.prompt_us = microseconds(node, slot.read - slot.began)
    slot.answer.making_us = microseconds(node, cycles() - slot.read)
    if reason == GOES_ON:
        tell_more(node, slot)
    else:
        slot.answer.reason = reason
        end_answer(node, slot)


def take_token(node: NodeViews, slot: Slot, token: int, kept: F32) -> int:
    """Append a token; returns as `say_token`."""
    n_pairs = slot.n_pairs + 2 + 2 * slot.terms.alternatives if slot.terms.alternatives >= 0 else 0
    if n_pairs > len(slot.pairs):
        return BY_LENGTH  # a whole answer that no more can be told of
    tokens = tokens_of(slot)
    previous = int(tokens[slot.n - 1])
    tokens[slot.n] = token
    slot.n += 1
    slot.answer.n_made += 1
    if slot.terms.json_object != 0:
        lo, hi = piece(node.v, previous, token)
        push_all(slot.json, node.v.pieces, lo, hi)
    if slot.terms.alternatives >= 0:
        tell_probabilities(slot.pairs[slot.n_pairs:n_pairs], kept, node.t.header.vocab_size, token)
        slot.n_pairs = n_pairs
    return say_token(slot, node.v)


def keep_logits(node: NodeViews, slot: Slot, logits: F32) -> F32:
    """The logits as they are before anything is drawn, where they are to be told."""
    n = node.t.header.vocab_size
    kept = f32_array(memory(node.state.spare, 4 * padded(n)), 0, padded(n))
    if slot.terms.alternatives >= 0:
        copy_bytes(node.state.spare, address_of(logits), 4 * n)
    return kept


def hold_to_json(node: NodeViews, slot: Slot, logits: F32) -> None:
    """Let nothing be chosen that no JSON object goes on with."""
    v = node.v
    previous = int(tokens_of(slot)[slot.n - 1])
    for token in range(node.t.header.vocab_size):
        lo, hi = piece(v, previous, token)
        if lo == hi or not may_follow(slot.json, v.pieces, lo, hi):
            logits[token] = f32(-3.0e38)


def microseconds(node: NodeViews, n: int) -> int:
    """Cycles as a time."""
    return n * 1000 // max(node.t.figures.cycles_per_ms, 1)


def tell_more(node: NodeViews, slot: Slot) -> None:
    """Tell a stream what there is to tell."""
    if slot.terms.stream == 0:
        return
    thought = slot.thought
    text = slot.text
    upto = whole_characters(thought.text, thought.told, thought.n)
    certain = whole_characters(text.text, text.told, told_free(node, slot))
    n = put_new(node, slot, 0, upto, certain)
    if n != 0 and deliver(node, slot, n) and slot.terms.tools == 0:
        forget_told(text)
        forget_told(thought)


def put_new(node: NodeViews, slot: Slot, n: int, upto: int, certain: int) -> int:
    """Into `out`, from n on: the thought up to a byte, the text up to another, and how probable its tokens were."""
    out = node.state.out
    telling = telling_of(node, slot)
    thought = slot.thought
    text = slot.text
    none: I64 = slot.pairs[:0]
    if upto > thought.told:
        n = put_piece(out, n, telling, THOUGHT, thought.text[thought.told:upto], none)
        thought.told = upto
    if certain > text.told or slot.n_pairs > 0:
        n = put_piece(out, n, telling, TEXT, text.text[text.told:certain], slot.pairs[:slot.n_pairs])
        text.told = max(text.told, certain)
        slot.n_pairs = 0
    return n


def end_answer(node: NodeViews, slot: Slot) -> None:
    """Tell the rest of an answer, or all of it; its slot is free again."""
    out = node.state.out
    say_rest(slot, node.v, slot.answer.reason)
    telling = telling_of(node, slot)
    calls, end = calls_in(node, slot)
    if calls.n > 0:
        slot.answer.reason = BY_CALL
    if slot.terms.stream != 0:
        n = put_new(node, slot, 0, slot.thought.n, end)
        for row in range(calls.n):
            n = put_call(out, n, telling, calls, row)
        n = put_ending(out, n, telling)
    else:
        n = put_whole(out, 0, telling, slot.text.text[:end], slot.thought.text[:slot.thought.n], calls,
                      slot.pairs[:slot.n_pairs])
    k = slot.connection
    count_answer(node, slot)
    free_slot(slot)
    end_exchange(node, k, send_out(node, k, n))


def deliver(node: NodeViews, slot: Slot, n: int) -> bool:
    """Send what was put together of a stream; where that cannot be, its client is lost."""
    k = slot.connection
    if send_out(node, k, n):
        return True
    begin_exchange(exchange_at(node, k))
    free_slot(slot)
    abandon_connection(node.net, k)
    return False


def pause_slow(node: NodeViews) -> None:
    """Answers whose clients take nothing wait until they do."""
    for k in range(node.state.slots.n):
        slot = node.state.slots.slots[k]
        if slot.stage == MAKING:
            slot.paused = int(room_to_send(connection_at(node.net, slot.connection)) < len(node.state.out) // 2)


def count_answer(node: NodeViews, slot: Slot) -> None:
    """Count an answer, and say it on the console."""
    figures = node.state.figures
    a = slot.answer
    figures.n_answered += 1
    figures.n_read += a.n_prompt - a.n_cached
    figures.read_us += a.prompt_us
    figures.n_made += a.n_made
    figures.made_us += a.making_us
    say(node.t.con, DIM, sentence("Answered: {} tokens to {}, of which {} were known; {:/} a second.",
                                  (a.n_made, a.n_prompt, a.n_cached, a.n_made * 1000000, max(a.making_us, 1))))
