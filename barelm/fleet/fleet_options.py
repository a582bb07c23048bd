"""The options of `barelm serve`, `netboot`, `fleet` and `batch`, as `cli.py` has those of most other commands."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from barelm.contract.settings import EverySetting
from barelm.options import (
    DEFAULT_MODEL,
    USUAL_IMAGE,
    USUAL_SAMPLING,
    Context,
    Cores,
    ImageOptions,
    Key,
    Kv,
    Memory,
    On,
    Quant,
    SamplingOptions,
    System,
    option_of,
)
from barelm.pipeline import Order, Packing
from barelm.settings import Settings
from barelm.trust.trust_options import NOT_SIGNED, Signing

Slots = Annotated[int, option_of(EverySetting.slots)]


def serve(model: str = DEFAULT_MODEL, /, *,
          host: Annotated[str, Parameter(help="The address of this host to listen at; 0.0.0.0: at all.")] = "127.0.0.1",
          port: Annotated[int, Parameter(help="Of this host; 0: any that is free.")] = 8080, key: Key = "",
          slots: Slots = 0, context: Context = 0, system: System = "", quant: Quant = "keep", kv: Kv = "auto",
          sampling: SamplingOptions = USUAL_SAMPLING, machine: On = None, memory: Memory = 0, cores: Cores = 0) -> int:
    """Boot a machine that serves a model over HTTP: a page for browsers, OpenAI's API for programs.

    The options of sampling hold where a request says nothing else.  docs/SERVING.md shows clients, and how to run it as
    a service.

    Examples:

        barelm serve
        barelm serve qwen3-0.6b --machine hosted --host 0.0.0.0 --key secret
        curl http://127.0.0.1:8080/v1/chat/completions -d '{"messages": [{"role": "user", "content": "Hello"}]}'

    Parameters
    ----------
    model
        A checkpoint (.bin, .gguf), a packed model (.blm) or a name.
    """
    from barelm.fleet.serve import HostPort, serve_model

    settings = Settings(system=system, key=key, slots=slots, slot_context=context, **vars(sampling))
    return serve_model(Order(model, None, Packing(quant, kv, context), settings, memory, cores), machine,
                       HostPort(host, port))


def netboot(folder: Path, model: str = DEFAULT_MODEL, /, *,
            server: Annotated[str, Parameter(help="Who serves the folder: 192.168.1.2, :PORT behind it if not 80.")],
            range: Annotated[str, Parameter(help="FIRST,LAST: addresses that dnsmasq gives away.  Default: none, it "
                                                 "stands beside the network's DHCP server.")] = "",
            system: System = "", quant: Quant = "keep", kv: Kv = "auto", context: Context = 0,
            sampling: SamplingOptions = USUAL_SAMPLING, of_image: ImageOptions = USUAL_IMAGE,
            signing: Signing = NOT_SIGNED) -> int:
    """Write a folder from which machines start over the network into a node: program, model, dnsmasq's configuration.

    Files there are replaced, each as a whole; others stay.

    Examples:

        barelm netboot boot qwen3-0.6b --server 192.168.1.2 --range 192.168.1.100,192.168.1.199

    Parameters
    ----------
    folder
        What a web server serves.
    model
        A checkpoint (.bin, .gguf), a packed model (.blm) or a name.
    """
    from barelm.fleet.netboot import boot_server, write_netboot

    settings = Settings(system=system, **vars(sampling), **vars(of_image)).but(serve=True)
    return write_netboot(folder, Order(model, None, Packing(quant, kv, context), settings),
                         boot_server(server, range), signing.sign, signing.cert)


def fleet(inventory: Path, folder: Path = Path("fleet"), /, *, signing: Signing = NOT_SIGNED) -> int:
    """Write all that a fleet of nodes needs beside itself, from one inventory: the folders that machines start from and
    dnsmasq's configuration, HAProxy's, LiteLLM's, llama-swap's, and Prometheus' targets.

    docs/SERVING.md shows an inventory, and goes through it.  Files in the folder are replaced, each as a whole.

    Examples:

        barelm fleet inventory.toml fleet

    Parameters
    ----------
    inventory
        A TOML file that names the nodes.
    folder
        Where to write.
    """
    from barelm.fleet.fleet_files import write_fleet

    return write_fleet(inventory, folder, signing.sign, signing.cert)


def batch(requests: Path, answers: Path, /, *,
          inventory: Annotated[Path | None, Parameter(help="Of the nodes that answer, as for `barelm fleet`.")] = None,
          model: Annotated[str, Parameter(help="In place of an inventory: hosted nodes with this model.")] = "",
          nodes: Annotated[int, Parameter(help="How many of them Ray starts.")] = 1, cores: Cores = 1,
          slots: Slots = 0, context: Context = 0,
          seed: Annotated[int, Parameter(help="From which requests without a seed get theirs.")] = 1) -> int:
    """Answer a file of requests, in OpenAI's batch format, by many nodes at once, on Ray Data.

    The answers stand in the order of the requests, and their bytes do not depend on the nodes.  A batch that was
    interrupted goes on where it stopped.  Exit code 1: there are errors among the answers.

    Examples:

        barelm batch in.jsonl out.jsonl --inventory fleet.toml
        barelm batch in.jsonl out.jsonl --model qwen3-0.6b --nodes 3

    Parameters
    ----------
    requests
        A line each: {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
    answers
        Where to write.
    """
    from barelm.fleet.batch import Crew, run_batch

    return run_batch(requests, answers, Crew(inventory, model, nodes, cores, slots, context), seed)
