"""`barelm batch`: a file of requests answered by many nodes, on Ray Data.

Ray gives blocks of requests to processes, one for each node, and starts processes anew that die.  Answers go into a
journal as they come, and from there, in the order of the requests, into the output: so neither their order nor their
bytes depend on how many nodes there are, or on which of them end meanwhile.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barelm import pipeline
from barelm.commands.progress import ProgressBar
from barelm.commands.run import machine_cores
from barelm.contract.serving.slot_state import USUAL_SLOTS
from barelm.errors import BarelmError
from barelm.fleet.batch_asking import LOST, Asker, Target
from barelm.fleet.batch_journal import Journal
from barelm.fleet.batch_lines import BatchRequest, line_of, read_requests
from barelm.fleet.inventory import read_inventory
from barelm.host_files import replace_file
from barelm.machine.hosted import Hosted
from barelm.pipeline import Packing

MOST_NODES_HERE = 256
STORE_BYTES = 100 << 20
"""Of a Ray of our own: requests are small."""
ROWS_OF_A_BLOCK = 32
BLOCKS_OF_A_NODE = 4
SHOW_S = 0.5


@dataclass(frozen=True)
class Crew:
    """Who answers: the nodes of an inventory, or as many of our own."""

    inventory: Path | None = None
    model: str = ""
    n_nodes: int = 1
    cores: int = 1
    slots: int = 0
    context: int = 0


@dataclass(frozen=True)
class Plan:
    """The same, as Ray is told it."""

    listed: dict[str, list[Target]]
    arguments: list[str]
    n_nodes: int
    n_cpus: int  # that a process takes
    n_slots: int


def run_batch(source: Path, out: Path, crew: Crew, seed: int) -> int:
    """Answer all requests; 1 where the answers to some are errors.  Raises BarelmError where the file is wrong, or no
    node answers: then what is done is in the journal, and the same command goes on from there.
    """
    requests, digest = read_requests(source, seed)
    if os.path.lexists(out):
        raise BarelmError(f"{out} is there already", "Take it away, or name another file.")
    with ProgressBar() as bar:
        plan = plan_of(crew, bar)
        with Journal(out.with_name(f"{out.name}.journal"), digest) as journal:
            if journal.done:
                bar.note(f"{len(journal.done)} of {len(requests)} are answered already.")
            while missing := [request for request in requests if request.custom_id not in journal.done]:
                before = len(journal.done)
                answer(missing, plan, journal, bar)
                if len(journal.done) == before:
                    raise BarelmError("Ray gave no answers", "Its logs, in /tmp/ray, may say why.")
            lines = [journal.done[request.custom_id] for request in requests]
            replace_file(out, "".join(f"{line}\n" for line in lines).encode())
            journal.path.unlink(missing_ok=True)
    failed = sum(json.loads(line)["error"] is not None for line in lines)
    print(f"{out}: {len(lines)} answers" + f"; {failed} of them are errors, their lines say which" * bool(failed),
          file=sys.stderr)
    return int(failed > 0)


def plan_of(crew: Crew, bar: ProgressBar) -> Plan:
    """Who is asked.  Our own nodes find their program and their model made."""
    if (crew.inventory is None) == (not crew.model):
        raise BarelmError("a batch needs nodes", "Give --inventory FILE, or --model MODEL and --nodes N.")
    if crew.inventory is not None:
        found = read_inventory(crew.inventory)
        listed = {name: [Target(node.address, node.port, node.key) for node in nodes]
                  for name, nodes in found.models.items()}
        slots = crew.slots or max(node.slots or USUAL_SLOTS for node in found.nodes)
        return Plan(listed, [], len(found.nodes), 0, slots)
    if not 1 <= crew.n_nodes <= MOST_NODES_HERE:
        raise BarelmError(f"{crew.n_nodes} nodes cannot be started", f"Give --nodes from 1 to {MOST_NODES_HERE}.")
    if reason := Hosted().why_not():
        raise BarelmError(reason, "Start nodes elsewhere, and name them in an --inventory.")
    cores = machine_cores(0, crew.cores)
    pipeline.packed_model(crew.model, None, Packing(context=crew.context), bar)
    pipeline.built_program(bar)
    slots = crew.slots or USUAL_SLOTS
    found_there = str(Path(crew.model).absolute()) if os.path.exists(crew.model) else crew.model
    return Plan({}, [found_there, "--machine", "hosted", "--cores", str(cores), "--slots", str(slots), "--context",
                     str(crew.context)], crew.n_nodes, cores, slots)


def answer(requests: Sequence[BatchRequest], plan: Plan, journal: Journal, bar: ProgressBar) -> None:
    """Have them answered, each noted when it is."""
    bar.step("Starting Ray")
    done, shown = len(journal.done), 0.0
    total = done + len(requests)
    with ray_running(plan) as ray:
        for number, status, content in answers(ray, requests, plan):
            if status == LOST:
                raise BarelmError(f"no node answers: {content}",
                                  "Start one, and give the same command again: it goes on where it stopped.")
            request = requests[number]
            journal.note(request.custom_id, line_of(request, status, json.loads(content)))
            if time.monotonic() - shown > SHOW_S:
                shown = time.monotonic()
                bar.step(f"{len(journal.done)} of {total} answered")


@contextmanager
def ray_running(plan: Plan) -> Iterator[Any]:
    """Ray: the cluster that RAY_ADDRESS names, or one of this host alone.  Raises BarelmError where it is missing, does
    not start or gives up.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to nobody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BarelmError("batches need the package `ray` with its data part",
                          "Install it: pip install 'barelm[fleet]'.") from error
    own = {} if os.environ.get("RAY_ADDRESS") else {
        "num_cpus": plan.n_nodes * plan.n_cpus + 2, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    try:
        with _silenced():
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield ray
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        said = str(error).strip().splitlines()
        raise BarelmError(f"Ray gave up: {said[-1] if said else type(error).__name__}",
                          "What is answered is kept: the same command goes on from there.") from error
    finally:
        ray.shutdown()


@contextmanager
def _silenced() -> Iterator[None]:
    """What is written past Python to stderr goes nowhere."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def answers(ray: Any, requests: Sequence[BatchRequest], plan: Plan) -> Iterator[tuple[int, int, str]]:
    """Number, status and content of each, as they come."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = 1  # bytes: what is there is passed on
    rows = [{"number": number, "url": request.url, "body": json.dumps(request.body)}
            for number, request in enumerate(requests)]
    n_rows = min(max(len(rows) // (BLOCKS_OF_A_NODE * plan.n_nodes), 1), ROWS_OF_A_BLOCK)
    counter = ray.remote(num_cpus=0)(Counter).remote()
    asked = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // n_rows)).map_batches(
        Asker, fn_constructor_args=(plan.listed, plan.arguments, plan.n_slots, counter), batch_size=None,
        batch_format="numpy", num_cpus=plan.n_cpus, compute=ray.data.ActorPoolStrategy(size=plan.n_nodes))
    for block in asked.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
        yield from ((int(number), int(status), str(content))
                    for number, status, content in zip(block["number"], block["status"], block["content"]))


class Counter:
    """Gives each process a number."""

    def __init__(self) -> None:
        self._n = 0

    def next(self) -> int:
        """The next."""
        self._n += 1
        return self._n - 1
