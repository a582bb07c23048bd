"""START HERE: a node, from its first slot to the last answer.

Between two passes over the weights the network has its turn: bytes move, requests are read, answers are told.
"""

import numpy as np

from barelm.contract import uefi
from barelm.contract.board import Board
from barelm.contract.serving.answer_state import NodeNames
from barelm.contract.serving.node_state import NodeState
from barelm.dialect.memory import address_of, copy_bytes, f32_array, fill_bytes, memory, text
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.dialect.types import f32, padded
from barelm.kernels.text.dates import put_name
from barelm.metal import arena
from barelm.metal.console.sinks import TEXT, flush
from barelm.metal.console.writing import say, say_line
from barelm.metal.conversation.prompt import check_system
from barelm.metal.conversation.slash_commands import LEAVE
from barelm.metal.conversation.talk import Talk, keyboard_of, vocabulary_of
from barelm.metal.keys.keyboard import stop_asked
from barelm.metal.network.connections import finish_connection
from barelm.metal.network.node_network import close_network, open_network, poll_network, wait_network
from barelm.metal.processors.cores import rest_team, wake_team
from barelm.metal.serving.answering import answer_all, pause_slow
from barelm.metal.serving.asking import admit_waiting
from barelm.metal.serving.counting import begin_counting, count_pass, count_waiting
from barelm.metal.serving.exchanges import attend
from barelm.metal.serving.node_views import NodeViews
from barelm.metal.serving.shared_passes import run_pass
from barelm.metal.serving.slots import count_busy, n_told, open_slots

VERSION = "0.1.0"
LOOK_EVERY_MS = 20
"""How often the keyboard is looked at while answers are made."""
IDLE_MS = 500
PARTING_MS = 10_000
"""How long peers have at the end to take what they were told."""
REST_AFTER_MS = 200
"""How long the other processors stay awake when there is nothing to do."""


def serve(t: Talk) -> int:
    """Serve the model until somebody at the keyboard ends it; returns how it ended, one of `slash_commands`."""
    node = open_node(t)
    looked = busy = cycles()
    while node.state.ending == 0 or count_busy(node.state.slots) + count_waiting(node) > 0:
        poll_network(node.net)
        attend(node)
        admit_waiting(node)
        pause_slow(node)
        if count_busy(node.state.slots) > 0 and t.job.resting != 0:
            wake_team(t.con.fw, t.job, t.settings.cores, t.figures.cycles_per_ms)
        if run_pass(t, node.state.slots, node.batch):
            count_pass(node)
            answer_all(node)
            busy = cycles()
        else:
            if cycles() - busy > REST_AFTER_MS * t.figures.cycles_per_ms:
                rest_team(t.job, t.figures.cycles_per_ms)
            wait_network(node.net, IDLE_MS)
        if cycles() - looked > LOOK_EVERY_MS * t.figures.cycles_per_ms:
            looked = cycles()
            flush(t.con)
            look_at_keys(node)
    close_node(node)
    return LEAVE


def look_at_keys(node: NodeViews) -> None:
    """Esc and Ctrl-C end the node, once what is asked is answered."""
    if node.state.ending == 0 and stop_asked(keyboard_of(node.t)):
        node.state.ending = 1
        say_line(node.t.con, TEXT, text("Ending, once what was asked is answered."))


def open_node(t: Talk) -> NodeViews:
    """The network, memory to work in, and as many slots as are wanted."""
    check_system(t)
    if t.settings.port == 0:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "nobody can reach a node at port 0", "Give another `port`.")
    b = Board(t.job.address)
    net = open_network(t.con, b, t.workspace)
    block = arena.take(t.con.fw, t.figures, NodeState.BYTES)
    spare = arena.take(t.con.fw, t.figures, 4 * padded(t.header.vocab_size)) if block != 0 else 0
    if spare == 0:
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, "there is no memory to serve in",
                      "Take a smaller model or context, or a machine with more memory.")
    fill_bytes(block, 0, NodeState.BYTES)
    state = NodeState(block)
    state.spare = spare
    room = padded(t.header.vocab_size)
    logits = f32_array(memory(spare, 4 * room), 0, room)
    for i in range(t.header.vocab_size, room):
        logits[i] = f32(-np.inf)
    node = NodeViews(t, vocabulary_of(t), net, state, b.batch)
    begin_counting(node)
    state.context = open_slots(t, state.slots)
    name_node(t, state.names, state)
    say(t.con, TEXT, sentence("Serving {}: {} answers at a time, {} tokens each.  Esc ends it.",
                              (t.header.name, n_told(state.slots), state.context)))
    flush(t.con)
    return node


def name_node(t: Talk, names: NodeNames, state: NodeState) -> None:
    """What clients are told of the model."""
    copy_bytes(address_of(names.model), address_of(t.header.name), min(len(names.model) - 1, 8 * len(t.header.name)))
    put_name(names.version, 0, text(VERSION), len(names.version) - 1)
    names.context = state.context
    names.n_slots = n_told(state.slots)
    names.n_vocabulary = t.header.vocab_size
    names.n_trained = t.header.seq_len
    names.model_bytes = t.header.file_bytes


def close_node(node: NodeViews) -> None:
    """What is said goes out to those who take it, for some seconds; the network goes back; memory does with the ledger.
    """
    net = node.net
    began = cycles()
    while net.state.n_in_use > 0 and cycles() - began < PARTING_MS * net.cycles_per_ms:
        for k in range(net.state.n_places):
            if net.state.in_use[k] != 0:
                finish_connection(net, k)
        poll_network(net)
        wait_network(net, LOOK_EVERY_MS)
    close_network(net)
