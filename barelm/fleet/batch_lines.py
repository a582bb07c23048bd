"""OpenAI's batch format: what a line of the input asks, and the line of the output that answers it.

A line of the output depends on nothing but the request and the answer of a model: what a node says of itself, of the
time or of what it remembered is left out or made from the request, and a request without a seed gets one of its own.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barelm.errors import BarelmError
from barelm.host_files import reading

URLS = ("/v1/chat/completions", "/v1/completions")
KEYS = {"custom_id", "method", "url", "body"}
MOST_SEED = (1 << 31) - 1
_OF_THE_NODE = ("timings", "system_fingerprint", "service_tier", "stats")


@dataclass(frozen=True)
class BatchRequest:
    """A line that asks."""

    custom_id: str
    url: str
    body: Mapping[str, Any]  # with its seed

    @property
    def digest(self) -> str:
        """What stands for it in names: the same request has the same."""
        asked = json.dumps([self.custom_id, self.url, self.body], sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()[:24]


def read_requests(path: Path, seed: int) -> tuple[list[BatchRequest], str]:
    """All of a file, checked before the first is asked, and the digest of file and seed.  Raises BarelmError naming the
    line that is wrong.
    """
    requests: list[BatchRequest] = []
    seen: set[str] = set()
    digest = hashlib.sha256(f"{seed}\n".encode())
    with reading(path), open(path, "rb") as file:
        for number, raw in enumerate(file, 1):
            digest.update(raw)
            try:
                if raw.strip():
                    requests.append(_request(json.loads(raw), seed, seen))
            except (ValueError, RecursionError) as error:
                raise BarelmError(f"line {number} of {path} is no request of a batch: {error}",
                                  'One is {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", '
                                  '"body": {...}}.') from error
    if not requests:
        raise BarelmError(f"{path} asks for nothing", "Give one request a line.")
    return requests, digest.hexdigest()


def _request(row: Any, seed: int, seen: set[str]) -> BatchRequest:
    if not isinstance(row, dict) or row.keys() != KEYS:
        raise ValueError(f"it has to have {', '.join(sorted(KEYS))}, and nothing else")
    custom_id, body = row["custom_id"], row["body"]
    if not isinstance(custom_id, str) or not custom_id or custom_id in seen:
        raise ValueError("its custom_id is no text, or that of a line before")
    if row["method"] != "POST" or row["url"] not in URLS:
        raise ValueError(f"it is not a POST to {' or '.join(URLS)}")
    if not isinstance(body, dict) or body.get("stream"):
        raise ValueError("its body is no object, or asks for a stream")
    seen.add(custom_id)
    if not body.get("seed"):
        drawn = hashlib.sha256(json.dumps([seed, custom_id]).encode()).digest()
        body = {**body, "seed": 1 + int.from_bytes(drawn[:8], "big") % MOST_SEED}
    return BatchRequest(custom_id, row["url"], body)


def line_of(request: BatchRequest, status: int, said: Any) -> str:
    """The line for an answer, without its end."""
    error = None
    if status >= 400:
        told = said.get("error") if isinstance(said, dict) else None
        message = told.get("message") if isinstance(told, dict) else told
        error = {"code": str(status), "message": str(message or "the node gave no reason")}
    return json.dumps({"id": f"batch_req_{request.digest}", "custom_id": request.custom_id,
                       "response": {"status_code": status, "request_id": request.digest,
                                    "body": steady(said, request.digest)}, "error": error})


def steady(said: Any, digest: str) -> Any:
    """An answer without what the next one to the same request would say otherwise."""
    if not isinstance(said, dict) or "choices" not in said:
        return said
    kept = {name: value for name, value in said.items() if name not in _OF_THE_NODE}
    if isinstance(kept.get("id"), str):
        kept["id"] = f"{kept['id'].partition('-')[0]}-{digest}"
    if "created" in kept:
        kept["created"] = 0
    if isinstance(kept.get("usage"), dict):
        kept["usage"] = {name: value for name, value in kept["usage"].items() if name != "prompt_tokens_details"}
    calls = [call for choice in kept["choices"] if isinstance(choice, dict)
             for call in (choice.get("message") or {}).get("tool_calls") or ()]
    for number, call in enumerate(calls):
        call["id"] = f"call_{digest}_{number}"
    return kept
