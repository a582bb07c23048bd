"""The options of `barelm serve`, as `cli.py` has those of most other commands."""

from typing import Annotated

from cyclopts import Parameter

from barelm.contract.settings import EverySetting
from barelm.options import (
    DEFAULT_MODEL,
    USUAL_SAMPLING,
    Context,
    Cores,
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
    from barelm.fleet.serve import Place, serve_model

    settings = Settings(system=system, key=key, slots=slots, slot_context=context, **vars(sampling))
    return serve_model(Order(model, None, Packing(quant, kv, context), settings, memory, cores), machine,
                       Place(host, port))
