"""Every firmware call of a story, of a conversation and of a node made to fail, in turn: what becomes of the machine.

    python -m tools.sweep                       everything: thousands of runs, an hour or more
    python -m tools.sweep --sample 60           that many of them, chosen by --seed
    python -m tools.sweep --only Read --json sweep.json

Each call is failed once, and from then on, with statuses the specification allows and with what is none: success with
less, with something else, with nothing.  Allowed is that the words are the same, or that a sentence of the program
says what is wrong; and that all is given back.  Where a program listens, it may notice that something is missing.  A
node may lose a connection, if it answers the next.  Exit code 1 where anything else happened.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from barelm.aot.build import build_program
from barelm.contract import uefi
from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.machine.firmware.faults import Fault
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.firmware.tables import ERROR
from barelm.machine.hosted import Hosted, HostedSession
from barelm.machine.machine import Forward, Spec, host_processors
from barelm.outcome import outcome_of
from barelm.pack.reader import read_packed
from barelm.settings import Settings
from barelm.transcript import Transcript
from tests.appliance.chatty import Chatty
from tools import sweep_node
from tools.sweep_node import Answers

METAL = Path(__file__).parents[1] / "barelm" / "metal"
SILENCE_S, PROMPT_S = 40.0, 10.0
"""How long a machine may say nothing: at work, and at its prompt, where all was typed and nobody is heard."""
KEPT_EVERY = 50
MOST_CALLS = 12
"""Of a service that is called more often, so many calls, spread."""
ROW_OF_MENU = re.compile(r"(▶ )?\S+\.blm   ")
PROMPT, ANY_KEY, MENU = "> ", "Press any key to go on.", "Enter starts"
LINES = ("hello world", "/save t", "and more", "/load t", "/report", "/model", "", "again", "/quit")

SAME, SAID, NOTICED, AGAIN, WAITS, DEAF, LOST, WRONG, LEFT, HANG, CRASH = (
    "same", "said", "noticed by the host", "answered at another try", "waits", "no answer", "text lost", "wrong words",
    "left behind", "hang", "crash")
GOOD = (SAME, SAID, NOTICED, AGAIN, WAITS)

STATUSES = (uefi.EFI_DEVICE_ERROR, uefi.EFI_UNSUPPORTED, uefi.EFI_OUT_OF_RESOURCES, uefi.EFI_NOT_READY)
MORE_STATUSES = {"Open": (uefi.EFI_NOT_FOUND, 13), "OpenVolume": (12, 13), "Write": (uefi.EFI_VOLUME_FULL, 13),
                 "Read": (13,), "SetInfo": (uefi.EFI_ACCESS_DENIED,), "Delete": (uefi.EFI_ACCESS_DENIED,)}
"""Beside the statuses that any service may return; 12 and 13: EFI_NO_MEDIA, EFI_MEDIA_CHANGED."""
EFFECTS = {"EFI_FILE_PROTOCOL.Read": ("half", "none", "more", "flipped", "stale", "slow"),
           "EFI_FILE_PROTOCOL.Write": ("half", "none", "nothing"), "EFI_FILE_PROTOCOL.Open": ("none", "warning"),
           "EFI_SIMPLE_FILE_SYSTEM_PROTOCOL.OpenVolume": ("none", "warning"),
           "EFI_FILE_PROTOCOL.GetPosition": ("far",), "EFI_RUNTIME_SERVICES.GetTime": ("ones", "nothing"),
           "EFI_MP_SERVICES_PROTOCOL.GetNumberOfProcessors": ("far",), "EFI_BOOT_SERVICES.GetMemoryMap": ("steps",),
           "EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.QueryMode": ("nowhere",), "EFI_SERIAL_IO_PROTOCOL.GetControl": ("waits",)}
"""What else a service may do wrong; every one may do nothing and say it did (`nothing`)."""
LINE = "EFI_SERIAL_IO_PROTOCOL."
INPUT = (LINE, "EFI_SIMPLE_TEXT_INPUT", "EFI_BOOT_SERVICES.LocateHandleBuffer", "EFI_BOOT_SERVICES.OpenProtocol")
"""Where these fail for good nobody can be heard, and the machine waits at its prompt, as it must."""
UNSEEN = ("Write", "OutputString", "Blt", "AllocatePages")
"""Services of which nobody can see that they did nothing and said they did."""
GIVING_BACK = ("EFI_BOOT_SERVICES.FreePages", "EFI_BOOT_SERVICES.CloseEvent", "EFI_FILE_PROTOCOL.Close",
                 "EFI_BOOT_SERVICES.CloseProtocol", "EFI_BOOT_SERVICES.ConnectController", "EFI_BOOT_SERVICES.FreePool",
                 "EFI_BOOT_SERVICES.UninstallProtocolInterface")
"""Services that give back: where one fails, what it should have taken stays, and nobody can help it.  A child of the
network's is asked to go once more.
"""


@dataclass(frozen=True)
class Scene:
    """What is played: what stands on the volume, what is typed, on how many processors."""

    name: str
    image: Path
    model: Path
    cores: int
    lines: tuple[str, ...] = ()
    screen: tuple[int, int] | None = None
    serves: bool = False
    reports: bool = False


@dataclass
class Ran:
    """What became of a run."""

    text: str = ""
    answers: Answers = field(default_factory=Answers)
    status: int | None = None
    trouble: str = ""
    left: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Of one run: which fault, what became of it, and the words that show it."""

    scene: str
    fault: str
    outcome: str
    words: str = ""


def scenes(folder: Path) -> list[Scene]:
    """A story told to a program and to a person, a conversation that uses the volume, and a node."""
    one, other, served = (Chatty(seed, length, name=f"chatty{seed}").write(folder / f"{seed}.blm").path
                          for seed, length in ((5, 512), (6, 512), (3, 1024)))

    def image(name: str, settings: Settings, **models: Path) -> Path:
        files = {f"{key}.blm": path for key, path in models.items()}
        write_image(folder / f"{name}.img", {PROGRAM: build_program(), "barelm.toml": settings.toml(), **files},
                    free_bytes=2 << 20)
        return folder / f"{name}.img"

    story = Settings("hello", 0.0, tokens=8, seed=7, wait=1, template=False)
    talk = Settings("", 0.0, tokens=6, seed=7, chat=True, wait=1, countdown=20)
    node = Settings(temperature=0.0, serve=True, wait=0, slots=2)
    return [Scene("story", image("story", story, model=one), one, 2),
            Scene("report", image("report", story.but(report=True), model=one), one, 1, reports=True),
            Scene("screen", image("screen", story, model=one), one, 1, screen=(800, 600)),
            Scene("talk", image("talk", talk, model=one, other=other), one, 2, LINES),
            Scene("node", image("node", node, model=served), served, 2, serves=True)]


def play(scene: Scene, faults: tuple[Fault, ...]) -> Ran:
    """Run it to its end, with somebody at the keyboard who types his lines and presses a key where he is asked to."""
    ran = Ran()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(shutil.copy(scene.image, folder))
        machine = Hosted(faults, screen=scene.screen)
        spec = Spec(image, 192, scene.cores, writable=True, forward=Forward(0, 8080) if scene.serves else None)
        with machine.start(spec) as session:
            if scene.serves:
                ran.answers = sweep_node.hold(session, lambda: ran.text, lambda: listen(session, scene, ran))
            else:
                listen(session, scene, ran)
            ran.status, ran.calls, ran.left = session.status, session.calls, dict(session.left)
            if session.kept:
                ran.left["bytes"] = session.kept
    return ran


def listen(session: HostedSession, scene: Scene, ran: Ran) -> None:
    """Read all that is said, and answer; note what goes wrong."""
    try:
        hear(session, scene, ran)
    except BarelmError as error:
        ran.trouble = error.message


def hear(session: HostedSession, scene: Scene, ran: Ran) -> None:
    """The same; raises what goes wrong."""
    typed = pressed = chosen = 0
    deadline = time.monotonic() + 4 * SILENCE_S
    while content := session.read(patience(scene, ran.text, typed)):
        ran.text += content.decode(errors="replace")
        if ran.text.count(ANY_KEY) > pressed:
            pressed += 1
            session.send("x")
        if ran.text.count(MENU) > chosen:
            chosen += 1
            session.send("\n" if chosen <= 3 else "\x1b")
        if scene.lines and not typed and re.search(r"\n> *$", ran.text):
            typed = 1
            session.send("".join(f"{line}\n" for line in scene.lines))
        if time.monotonic() > deadline:
            raise BarelmError("it does not end", "")


def patience(scene: Scene, text: str, typed: int) -> float:
    """Seconds a machine may be silent."""
    if typed and re.search(r"\n> [^\n]*$", text):
        return PROMPT_S
    return 2 * SILENCE_S if scene.serves else SILENCE_S


def faults_of(calls: dict[str, int], serves: bool = False) -> Iterator[Fault]:
    """Every way to fail every call there was; of a node, those that are a node's."""
    for service, n in calls.items():
        if serves and not service.startswith(sweep_node.SERVICES):
            continue
        name = service.rpartition(".")[2]
        step = -(-n // (sweep_node.most_calls(service) if serves else MOST_CALLS))
        more = sweep_node.STATUSES if service.startswith(sweep_node.SERVICES) else MORE_STATUSES
        statuses = [ERROR | status for status in (*STATUSES, *more.get(name, ()))]
        effects = (*EFFECTS.get(service, ()), *sweep_node.EFFECTS.get(service, ()),
                   *(("nothing",) if name not in UNSEEN else ()))
        for call in range(1, n + 1, step):
            for lasting in (False, True):
                yield from (Fault(service, status, call, lasting) for status in statuses)
                yield from (Fault(service, 0, call, lasting, effect) for effect in effects)


@cache
def sentences() -> re.Pattern[str]:
    """Every text of the program, as a pattern: `{}` stands for anything."""
    found = set()
    for path in METAL.rglob("*.py"):
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found |= {node.value for node in ast.walk(tree)
                  if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings}
    said = {part.strip(". ") for text in found for line in plain(text) for part in line.split(".  ")}
    lines = {part for part in said if len(part.replace("{}", "")) > 3}
    parts = [re.escape(line).replace(r"\{\}", ".*") for line in lines]
    return re.compile("|".join(sorted(parts, key=len, reverse=True)))


def plain(text: str) -> list[str]:
    """Lines that can be compared: without figures, which differ from run to run, what a person types, which is drawn
    anew when it comes in pieces, and menus.
    """
    lines = (re.sub(r", 0 processors?", "", re.sub(r"\d[\d.,]*", "0", line)).strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(PROMPT.strip()) and not ROW_OF_MENU.match(line)]


def judge(scene: Scene, fault: Fault, ran: Ran, good: Ran) -> Verdict:
    """What became of it."""
    def verdict(outcome: str, words: str = "") -> Verdict:
        return Verdict(scene.name, str(fault), outcome, words[-300:])

    if ran.trouble:
        mute = fault.service == LINE + "Write" and not ran.text  # it is at its menu, and nobody sees it
        waits = mute or sweep_node.SERVING in ran.text or re.search(r"\n> [^\n]*$", ran.text) or MENU in ran.text[-400:]
        if waits and fault.lasting and fault.service.startswith(INPUT):
            return verdict(WAITS)
        is_hang = "said nothing" in ran.trouble or "does not end" in ran.trouble
        return verdict(HANG if is_hang else CRASH, f"{ran.trouble} {ran.text[-200:]!r}")
    kept = fault.service in GIVING_BACK or fault.service == sweep_node.DESTROY and (fault.lasting or fault.effect)
    if ran.left and not kept and "does not come back" not in ran.text:
        return verdict(LEFT, str(ran.left))
    expected, found = plain(good.text), plain(ran.text)
    if scene.serves:
        return verdict(*judge_answers(fault, ran, good))
    if found == expected and ran.status == good.status:
        return verdict(SAME)
    news = [line for line in found if line not in expected]
    unheard = fault.service == LINE + "Write" or scene.screen is not None and fault.service.startswith(INPUT)
    if unheard or any(sentences().search(line) for line in news):  # it is the line that is listened to here
        return verdict(SAID, " / ".join(news))
    if scene.reports and (words := refusal(scene.model, ran.text)):
        return verdict(NOTICED, words)
    if news or ran.status != good.status:
        return verdict(WRONG, " / ".join(news))
    return verdict(LOST, f"{len(found)} of {len(expected)} lines")


def refusal(model: Path, text: str) -> str:
    """Why `barelm run` refuses what a program told it; empty where it takes it for a whole story."""
    packed = read_packed(model)  # its vocabulary lasts as long as this
    heard = Transcript(packed.vocabulary())
    heard.hear(text.encode())
    try:
        outcome_of(heard, "hosted")
    except BarelmError as error:
        return error.message
    return ""


def judge_answers(fault: Fault, ran: Ran, good: Ran) -> tuple[str, str]:
    """What became of what a node was asked: the outcome, and the words that show it."""
    told, expected = ran.answers, plain(good.text)
    news = [line for line in plain(ran.text) if line not in expected]
    is_said = bool(told.refused) or any(sentences().search(line) for line in news)
    words = " / ".join([*news, *told.refused, *told.lost])
    if any(text not in ("", right) for text, right in zip(told.texts, good.answers.texts)):
        return WRONG, repr(told.texts)
    if is_said:
        return SAID, words
    if "" in told.texts:
        return (WAITS if sweep_node.seems_to_be_peers(fault) else DEAF), words
    if news or ran.status != good.status:
        return WRONG, words
    if not set(expected) <= set(plain(ran.text)):
        return LOST, words
    return (AGAIN if told.lost else SAME), words


def sweep(order: argparse.Namespace) -> list[Verdict]:
    """Play all of them, some at a time; what is not good is printed at once."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        todo: list[tuple[Scene, Fault, Ran]] = []
        played = scenes(Path(folder))
        for scene in [one for one in played if one.name == order.only] or played:
            good = play(scene, ())
            if good.trouble or good.status != 0 or good.left:
                raise SystemExit(f"without any fault {scene.name} goes wrong: {good}")
            todo += [(scene, fault, good) for fault in faults_of(good.calls, scene.serves)
                     if order.only in f"{scene.name} {fault}"]
        if order.sample:
            todo = random.Random(order.seed).sample(todo, min(order.sample, len(todo)))
        print(f"{len(todo)} runs", file=sys.stderr)
        with ThreadPoolExecutor(order.jobs or host_processors()) as pool:
            verdicts = []
            for verdict in pool.map(lambda one: judge(one[0], one[1], play(one[0], (one[1],)), one[2]), todo):
                verdicts.append(verdict)
                if order.json and len(verdicts) % KEPT_EVERY == 0:
                    keep(verdicts, order.json)
                if verdict.outcome not in GOOD:
                    print(f"{verdict.outcome}: {verdict.scene}, {verdict.fault}: {verdict.words}", flush=True)
    return verdicts


def keep(verdicts: list[Verdict], path: Path) -> None:
    """Write down what became of those that were run so far."""
    path.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=1))


def main(arguments: list[str]) -> int:
    """Sweep, and print how often each outcome came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, help="only so many runs")
    parser.add_argument("--seed", type=int, default=1, help="which they are")
    parser.add_argument("--only", default="", help="those whose scene and fault contain this text")
    parser.add_argument("--jobs", type=int, default=0, help="how many at a time")
    parser.add_argument("--json", type=Path, help="a file for every verdict")
    order = parser.parse_args(arguments)
    verdicts = sweep(order)
    if order.json:
        keep(verdicts, order.json)
    counts = Counter(verdict.outcome for verdict in verdicts)
    print(", ".join(f"{outcome} {counts[outcome]}" for outcome in (*GOOD, DEAF, LOST, WRONG, LEFT, HANG, CRASH)))
    return int(any(verdict.outcome not in GOOD for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
