"""A node in the sweep: what a client asks of it, which calls of its are failed, and what becomes of the answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from barelm.contract import uefi
from barelm.machine.firmware.faults import Fault
from tests.appliance.nodes import CHAT

READY_S, PATIENCE_S, TRIES = 60.0, 4.0, 3
"""How long a node may take until it serves, how long a client waits for an answer, how often it asks."""
SERVING = "Serving "
CTRL_C = "\x03"
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "seed": 1},
    {"messages": [{"role": "user", "content": "and again"}], "max_tokens": 8, "seed": 2, "stream": True})

TCP, BOOT = "EFI_TCP4_PROTOCOL.", "EFI_BOOT_SERVICES."
SERVICES = (TCP, "EFI_SERVICE_BINDING_PROTOCOL.", "EFI_IP4_CONFIG2_PROTOCOL.", "EFI_SIMPLE_NETWORK_PROTOCOL.",
            *(BOOT + name for name in ("AllocatePages", "FreePages", "CreateEvent", "SetTimer", "WaitForEvent",
                                       "CloseEvent", "CheckEvent", "Stall", "HandleProtocol", "LocateHandleBuffer",
                                       "ConnectController", "FreePool")))
"""Whose calls are failed while a node serves: the network's, and what it uses of the rest; stories have the others."""
DESTROY = "EFI_SERVICE_BINDING_PROTOCOL.DestroyChild"
MOST_CALLS, LOOKUP, MOST_LOOKUPS = 5, BOOT + "HandleProtocol", 16
"""As `sweep.MOST_CALLS`; every lookup is for something else."""
STATUSES = {"Accept": (uefi.EFI_NOT_STARTED, uefi.EFI_ACCESS_DENIED), "Transmit": (100, uefi.EFI_CONNECTION_FIN),
            "Receive": (uefi.EFI_CONNECTION_FIN, uefi.EFI_CONNECTION_RESET), "Close": (uefi.EFI_ACCESS_DENIED,),
            "Configure": (uefi.EFI_NO_MAPPING, uefi.EFI_ACCESS_DENIED), "GetModeData": (uefi.EFI_NOT_STARTED,),
            "Poll": (uefi.EFI_TIMEOUT,), "DestroyChild": (uefi.EFI_ACCESS_DENIED,), "GetData": (uefi.EFI_NOT_FOUND,),
            "SetData": (uefi.EFI_ALREADY_STARTED,), "WaitForEvent": (uefi.EFI_INVALID_PARAMETER,)}
"""Beside those that any service may return; 100 is EFI_NETWORK_UNREACHABLE."""
_TOKEN = ("ends_failed", "ends_aborted", "ends_warned", "slow")
EFFECTS = {TCP + "Accept": (*_TOKEN, "ends_alone", "ends_strange"), TCP + "Transmit": _TOKEN, TCP + "Close": _TOKEN,
           TCP + "Receive": (*_TOKEN, "ends_closed", "ends_empty", "ends_long"), TCP + "GetModeData": ("lies",),
           "EFI_IP4_CONFIG2_PROTOCOL.GetData": ("elsewhere",), "EFI_SIMPLE_NETWORK_PROTOCOL.GetStatus": ("unplugged",)}
"""What else they may do wrong."""
UNSEEN = tuple(TCP + name for name in ("Accept", "Receive", "Transmit", "Configure"))
PEERS_DO = {100, uefi.EFI_CONNECTION_FIN, uefi.EFI_CONNECTION_RESET, "nothing", "ends_closed", "ends_empty"}
"""Where those come to these for good, it is as if nobody came, or said or took anything, or everybody went."""


class Machine(Protocol):
    """What is needed of a session."""

    @property
    def port(self) -> int:
        """Where it listens."""

    def send(self, text: str) -> None:
        """Type."""


def most_calls(service: str) -> int:
    """How many calls of a service are failed."""
    return MOST_LOOKUPS if service == LOOKUP else MOST_CALLS


def seems_to_be_peers(fault: Fault) -> bool:
    """Whether a node cannot know that it is the firmware that fails."""
    return fault.lasting and fault.service in UNSEEN and (fault.effect or fault.status & 0xFF) in PEERS_DO


@dataclass
class Answers:
    """What a client has been told: an answer to each question, "" where none came, and what came in place of them."""

    texts: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def hold(session: Machine, said: Callable[[], str], listen: Callable[[], None]) -> Answers:
    """Ask a node all there is to ask, and end it, while a thread listens."""
    answers, reader = Answers(), threading.Thread(target=listen, daemon=True)
    reader.start()
    deadline = time.monotonic() + READY_S
    while SERVING not in said() and reader.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    for question in QUESTIONS:
        answers.texts.append("")
        for _ in range(TRIES):
            if reader.is_alive() and not answers.texts[-1] and "" not in answers.texts[:-1]:
                answers.texts[-1] = ask(session.port, question, answers)
    session.send(CTRL_C)
    reader.join()
    return answers


def ask(port: int, question: dict[str, Any], answers: Answers) -> str:
    """The answer to a question, all of it, or ""."""
    try:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
            connection.request("POST", CHAT, json.dumps(question))
            answer = connection.getresponse()
            content = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        answers.lost.append(repr(error))
        return ""
    if answer.status >= 500:
        answers.refused.append(f"{answer.status} {json.loads(content)['error']['message']}")
        return ""
    return text_of(content) if answer.status == 200 else f"{answer.status} {content}"


def text_of(content: str) -> str:
    """The text of an answer, whole or streamed, with why it ended; what is none as it stands."""
    try:
        if not content.startswith("data: "):
            choice = json.loads(content)["choices"][0]
            return f"{choice['message']['content']} ({choice['finish_reason']})"
        *events, done, rest = content.split("\n\n")
        assert (done, rest) == ("data: [DONE]", ""), content
        choices = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
        told = "".join(choice["delta"].get("content") or "" for choice in choices)
        return f"{told} ({choices[-1]['finish_reason']})"
    except (AssertionError, LookupError, ValueError):
        return content
