"""What HAProxy, LiteLLM, llama-swap and Prometheus are told of a fleet."""

import json
import re
from typing import Any

from barelm.contract.serving.request_state import BODY_BYTES
from barelm.contract.serving.slot_state import USUAL_SLOTS
from barelm.fleet.inventory import FleetNode, Inventory

_WORD = re.compile("[A-Za-z_]+")


def at_once(node: FleetNode) -> int:
    """Requests that a node is sent at a time: as many as it answers, and as many that it begins with at once then."""
    return 2 * (node.slots or USUAL_SLOTS)


def haproxy(inventory: Inventory) -> bytes:
    """A balancer: to the node with the fewest connections; what one refuses goes to another, and nothing is lost while
    nodes are started anew one after the other.
    """
    models = inventory.models
    lines = ["# Written by barelm.  haproxy -f haproxy.cfg", "global", "    log stdout format raw local0",
             "    # A request has to fit, to be sent to another node and to be asked for its model.",
             f"    tune.bufsize {BODY_BYTES + (1 << 15)}", "defaults", "    mode http", "    log global",
             "    option httplog", "    option dontlognull",
             "    option http-buffer-request", "    # Events leave as they come.", "    option http-no-delay",
             "    timeout connect 3s", "    timeout http-request 30s", "    timeout queue 2m",
             "    timeout client 10m", "    timeout server 10m", "    retries 8",
             "    option redispatch 1", "    retry-on conn-failure empty-response 503",
             "frontend barelm", f"    bind :{inventory.listen}"]
    if len(models) > 1:
        lines += [f"    use_backend {name} if {{ req.body,json_query('$.model') -m str {name} }}" for name in models]
    lines += [f"    default_backend {next(iter(models))}"]
    for name, nodes in models.items():
        lines += [f"backend {name}", "    balance leastconn", "    option httpchk GET /health",
                  "    http-check expect status 200",
                  "    # What the slots do not take waits here, for the node that is free first.",
                  "    default-server check inter 2s fall 2 rise 1 observe layer4 error-limit 2 on-error mark-down"]
        lines += [f"    server {node.name} {node.place} maxconn {at_once(node)}" for node in nodes]
    return ("\n".join(lines) + "\n").encode()


def litellm(inventory: Inventory) -> bytes:
    """LiteLLM's proxy: each node is a deployment of its model."""
    return _yaml("litellm --config litellm.yaml", {
        "model_list": [{"model_name": node.model_name,
                        "litellm_params": {"model": f"openai/{node.model_name}", "api_base": f"http://{node.place}/v1",
                                           "api_key": node.key or "none",
                                           "max_parallel_requests": at_once(node)},
                        "model_info": {"id": node.name, "mode": "chat"}} for node in inventory.nodes],
        "router_settings": {"routing_strategy": "least-busy", "num_retries": 3, "allowed_fails": 2,
                            "cooldown_time": 10, "timeout": 600},
        "litellm_settings": {"drop_params": True}})


def llama_swap(inventory: Inventory) -> bytes:
    """llama-swap: whoever asks for the model of a node that can be woken wakes it, and waits until it serves.

    Its `wol-proxy` asks for a route of llama-swap's own, so it stands before no node; a "process" that wakes one does.
    """
    woken = [node for node in inventory.nodes if node.mac]
    firsts = {nodes[0].name for nodes in inventory.models.values()}
    models = {f"{node.name}/{node.model_name}": {
        "cmd": f"sh -c 'wakeonlan {node.mac} && exec sleep infinity'", "proxy": f"http://{node.place}",
        "checkEndpoint": "/health", "ttl": 0, "useModelName": node.model_name,
        "concurrencyLimit": at_once(node),
        **({"aliases": [node.model_name]} if node.name in firsts else {})} for node in woken}
    peers = {node.name: {"proxy": f"http://{node.place}", "models": [node.model_name],
                         **({"apiKey": node.key} if node.key else {})} for node in inventory.nodes if not node.mac}
    return _yaml("llama-swap --config llama-swap.yaml", {
        "healthCheckTimeout": 300, "models": models,
        **({"groups": {"fleet": {"swap": False, "exclusive": False, "members": [*models]}}} if models else {}),
        **({"peers": peers} if peers else {})})


def prometheus(inventory: Inventory) -> dict[str, bytes]:
    """Prometheus: its configuration, and the targets of each key, which it reads again when they change."""
    keys = [*dict.fromkeys(node.key for node in inventory.nodes)]
    names = ["targets.json"] if len(keys) == 1 else [f"targets-{number}.json" for number in range(1, len(keys) + 1)]
    jobs = [{"job_name": f"barelm{f'-{number}' * (len(keys) > 1)}", "file_sd_configs": [{"files": [name]}],
             **({"authorization": {"credentials": key}} if key else {})}
            for number, (key, name) in enumerate(zip(keys, names), 1)]
    files = {name: _targets([node for node in inventory.nodes if node.key == key]) for key, name in zip(keys, names)}
    return {"prometheus.yml": _yaml("prometheus --config.file=prometheus.yml", {
        "global": {"scrape_interval": "15s"}, "scrape_configs": jobs}), **files}


def _targets(nodes: list[FleetNode]) -> bytes:
    targets = [{"targets": [node.place], "labels": {"node": node.name, "model": node.model_name}} for node in nodes]
    return (json.dumps(targets, indent=1) + "\n").encode()


def _yaml(command: str, value: dict[str, Any]) -> bytes:
    """YAML with every text in double quotes, as JSON writes it: then nothing in one means anything."""
    return "\n".join([f"# Written by barelm.  {command}", *_yaml_lines(value), ""]).encode()


def _yaml_lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        pairs = [(name if _WORD.fullmatch(name) else json.dumps(name), inner) for name, inner in value.items()]
        return [line for name, inner in pairs for line in _hung(f"{name}:", inner)]
    return [line for inner in value for line in _hung("-", inner)]


def _hung(begin: str, inner: Any) -> list[str]:
    if not isinstance(inner, dict | list):
        return [f"{begin} {json.dumps(inner)}"]
    if not inner:
        return [f"{begin} {'{}' if isinstance(inner, dict) else '[]'}"]
    first, *others = _yaml_lines(inner)
    above = [f"{begin} {first}"] if begin == "-" else [begin, f"  {first}"]
    return [*above, *(f"  {line}" for line in others)]
