"""What a node says of itself: JSON and Prometheus' text, read by the official packages where they are there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from barelm.contract.serving.answer_state import CLOSED, KEPT
from barelm.contract.serving.node_figures import NodeFigures, SlotsOfNode
from barelm.kernels.web.answers import http_heads, node_facts
from tests.kernels.web.answers.node import PIECES, Heard, heard, node_names, said_of, u8, vocabulary
from tests.worlds import World, both_worlds


def node_figures(**fields: int) -> NodeFigures:
    """Figures of a node."""
    figures = NodeFigures.over(np.zeros(NodeFigures.BYTES, np.uint8))
    for name, value in fields.items():
        setattr(figures, name, value)
    return figures


def told(world: World, writer: Any, *arguments: Any) -> Heard:
    """What a writer says, as a client hears it."""
    return heard(said_of(world, writer, *arguments))


def fact(world: World, number: int, connection: int = KEPT, **fields: int) -> Heard:
    """What is said of a fact."""
    return told(world, node_facts.put_fact, number, connection, node_names(), node_figures(**fields))


@both_worlds
def test_health_models_and_props(world: World) -> None:
    health = fact(world, node_facts.HEALTH, CLOSED)
    assert health.json == {"status": "ok"} and health.headers["connection"] == "close"
    models, model = fact(world, node_facts.MODELS).json, fact(world, node_facts.MODEL).json
    assert models["object"] == "list" and models["data"] == [model]
    assert models["models"][0]["name"] == "m\u00f6del \"x\""
    assert model["id"] == "m\u00f6del \"x\"" and model["max_model_len"] == 4096
    assert model["meta"] == {"n_vocab": 32000, "n_ctx": 4096, "n_ctx_train": 8192, "size": 123_456_789}
    props = fact(world, node_facts.PROPS).json
    assert props["default_generation_settings"]["n_ctx"] == 4096 and props["total_slots"] == 4
    assert props["model_path"] == model["id"] and props["chat_template"] == "" and props["build_info"] == "0.1.0"


@both_worlds
def test_models_are_what_clients_expect(world: World) -> None:
    types = pytest.importorskip("openai.types", reason="the package openai is not installed")
    types.Model.model_validate(fact(world, node_facts.MODEL).json, strict=True)


@both_worlds
def test_facts_for_ollama(world: World) -> None:
    ollama = pytest.importorskip("ollama", reason="the package ollama is not installed")
    assert ollama.ListResponse.model_validate(fact(world, node_facts.TAGS).json).models[0].size == 123_456_789
    assert ollama.ProcessResponse.model_validate(fact(world, node_facts.RUNNING).json).models
    show = ollama.ShowResponse.model_validate(fact(world, node_facts.SHOW).json)
    assert show.capabilities == ["completion"] and show.modelinfo["blm.context_length"] == 4096
    assert fact(world, node_facts.VERSION).json == {"version": "0.1.0"}


@both_worlds
def test_metrics(world: World) -> None:
    answer = fact(world, node_facts.METRICS, n_read=1000, read_us=500_000, n_made=30, made_us=1_500_001, n_passes=20,
                  n_passed=25, n_running=3, n_waiting=2, n_held=256, n_room=1024, n_answered=7, n_refused=1)
    parser = pytest.importorskip("prometheus_client.parser", reason="the package prometheus_client is not installed")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {sample.name: (sample.value, sample.labels, family.type)
             for family in parser.text_string_to_metric_families(answer.body.decode()) for sample in family.samples}
    values = {name: value for name, (value, _, _) in found.items()}
    assert values == {
        "llamacpp:prompt_tokens_total": 1000, "llamacpp:prompt_seconds_total": 0.5,
        "llamacpp:tokens_predicted_total": 30, "llamacpp:tokens_predicted_seconds_total": 1.500001,
        "llamacpp:n_decode_total": 20, "llamacpp:n_busy_slots_per_decode": 1.25,
        "llamacpp:prompt_tokens_seconds": 2000, "llamacpp:predicted_tokens_seconds": 19.999,
        "llamacpp:kv_cache_usage_ratio": 0.25, "llamacpp:kv_cache_tokens": 256, "llamacpp:requests_processing": 3,
        "llamacpp:requests_deferred": 2, "vllm:num_requests_running": 3, "vllm:num_requests_waiting": 2,
        "vllm:gpu_cache_usage_perc": 0.25, "vllm:kv_cache_usage_perc": 0.25, "vllm:prompt_tokens_total": 1000,
        "vllm:generation_tokens_total": 30, "vllm:request_success_total": 7, "barelm:requests_refused_total": 1}
    assert all(labels == ({"model_name": "m\u00f6del \"x\""} if name.startswith("vllm") else {})
               for name, (_, labels, _) in found.items())
    assert all(kind == ("counter" if name.endswith("_total") else "gauge") for name, (_, _, kind) in found.items())


@both_worlds
def test_a_node_that_did_nothing_has_metrics(world: World) -> None:
    assert b"llamacpp:prompt_tokens_seconds 0.000\n" in fact(world, node_facts.METRICS).body


@both_worlds
def test_slots(world: World) -> None:
    slots = SlotsOfNode.over(np.zeros(SlotsOfNode.BYTES, np.uint8))
    assert told(world, node_facts.put_slots, KEPT, slots).json == []
    slots.n = 2
    for k in range(2):
        slots.slots[k].number, slots.slots[k].context, slots.slots[k].busy = k, 2048, k
        slots.slots[k].n_made = 5 * k
    one, two = told(world, node_facts.put_slots, KEPT, slots).json
    assert (one["id"], one["is_processing"], two["id"], two["is_processing"]) == (0, False, 1, True)
    assert one["n_ctx"] == 2048 and two["next_token"] == [{"n_decoded": 5}]


@both_worlds
def test_tokens_and_texts(world: World) -> None:
    ids, v = np.array([1, 3, 0], np.int64), vocabulary()
    assert told(world, node_facts.put_tokens, KEPT, ids, v, 0).json == {"tokens": [1, 3, 0]}
    assert told(world, node_facts.put_tokens, KEPT, ids[:0], v, 0).json == {"tokens": []}
    assert told(world, node_facts.put_tokens, KEPT, ids, v, 1).json == {
        "tokens": [{"id": int(k), "piece": PIECES[k].decode(errors="replace")} for k in ids]}
    assert told(world, node_facts.put_content, KEPT, u8("K\u00f6ln\n")).json == {"content": "K\u00f6ln\n"}


@both_worlds
def test_a_document_and_a_preflight(world: World) -> None:
    page = told(world, node_facts.put_document, KEPT, http_heads.HTML, u8("<p>hi</p>"))
    assert page.body == b"<p>hi</p>" and page.headers["content-type"] == "text/html; charset=utf-8"
    target = np.zeros(1 << 12, np.uint8)
    n = int(world(http_heads.put_preflight)(target, 0, KEPT))
    answer = heard(target[:n].tobytes(), "OPTIONS")
    assert answer.status == 204 and "Authorization" in answer.headers["access-control-allow-headers"]
    assert {"GET", "POST"} <= set(answer.headers["access-control-allow-methods"].split(", "))


@both_worlds
def test_the_end_of_a_head(world: World) -> None:
    data = u8("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}")
    assert int(world(http_heads.end_of_head)(data, 0, len(data))) == len(data) - 2
