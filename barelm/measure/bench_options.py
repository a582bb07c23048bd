"""The options of `barelm bench`, as `cli.py` has those of all other commands."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from barelm.checkpoint.sources.default_model import NAME


def bench(model: str = NAME, /, *,
          cores: Annotated[str, Parameter(help="Numbers, with commas.  Default: 1 and all of this host.")] = "",
          context: Annotated[str, Parameter(help="Positions in use at the end, with commas.  Default: 192.")] = "",
          sizes: Annotated[str, Parameter(help="In place of a model, random weights: 260K,15M,135M,1B.")] = "",
          encodings: Annotated[str, Parameter(help="Of these: Q4_0,Q8_0,Q4_K_M,F32.")] = "Q4_0",
          rounds: Annotated[int, Parameter(help="Medians are of so many.")] = 3,
          against: Annotated[str, Parameter(help="llama.cpp, llama2.c, or both with a comma.")] = "llama.cpp",
          run_c: Annotated[Path | None, Parameter(help="The program that llama2.c's run.c was built to.")] = None,
          json: Annotated[Path | None, Parameter(name="--json", help="Write every figure into this file.")] = None,
          plot: Path | None = None) -> int:
    """Measure how fast models are here, beside llama.cpp and llama2.c, and what share of the machine that is.

    barelm runs on the hosted firmware, as fast as on the bare machine.  Programs take turns; what the machine could do
    at most, reading and multiplying, is measured in the same run.

    Examples:

        barelm bench
        barelm bench model.gguf --cores 1,2,4 --context 64,512,2048 --json bench.json
        barelm bench --sizes 260K,135M,1B --encodings Q4_0,Q8_0 --plot roofline.svg
        barelm bench stories15M.bin --against llama2.c --run-c llama2.c/run

    Parameters
    ----------
    model
        A checkpoint (.bin, .gguf), a packed model (.blm) or a name.
    plot
        An .svg to draw the roofline into.
    """
    from barelm.commands.bench import BenchOrder, measure_speed

    return measure_speed(BenchOrder(model, cores, context, sizes, encodings, rounds, against, run_c), json, plot)
