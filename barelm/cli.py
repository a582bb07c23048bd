"""The command line: arguments in, exit codes out.  What each command does is in `commands/`.

Generated text goes to stdout, everything else to stderr.  Exit codes: 0, 1 for what a person can correct, 2 for usage,
130 after Ctrl-C.
"""

import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

from cyclopts import App, Parameter

from barelm import __version__
from barelm.contract.settings import EverySetting
from barelm.errors import BarelmError
from barelm.fleet.fleet_options import batch, fleet, netboot, serve
from barelm.measure.bench_options import bench
from barelm.options import (
    DEFAULT_MODEL,
    USUAL_IMAGE,
    USUAL_SAMPLING,
    Context,
    Cores,
    Display,
    ImageOptions,
    Json,
    Kv,
    Memory,
    On,
    OnBoot,
    Output,
    Quant,
    Raw,
    SamplingOptions,
    System,
    Theta,
    Tokenizer,
    option_of,
)
from barelm.pipeline import Order, Packing
from barelm.settings import Settings
from barelm.trust.trust_options import NOT_SIGNED, Signing, keys, sbom, verify

HELP = """Boot any UEFI PC straight into a Llama.

Examples:

    barelm run "Why is the sky blue?"
    barelm chat
    barelm models
    barelm chat qwen3-0.6b
    barelm run stories260K.bin "Once upon a time"
    barelm run stories15M --temperature 0.8 --seed 42 --machine qemu
    barelm image stories15M.bin --output stick.img --prompt "Lily went"
    barelm boot stick.img
    barelm serve qwen3-0.6b
    barelm flash stick.img
    barelm report report.json
    barelm keys my-keys
    barelm cp stick.img:report.json .
    barelm show stick.img
"""

app = App(name="barelm", help=HELP, help_format="plaintext", version=__version__)
app.register_install_completion_command()
for of_another_room in (bench, keys, verify, sbom, serve, netboot, fleet, batch):
    app.command(of_another_room)


@app.command
def run(model: str | None = None, prompt: str | None = None, /, *, raw: Raw = False, system: System = "",
        tokenizer: Tokenizer = None, quant: Quant = "keep", kv: Kv = "auto", context: Context = 0,
        rope_theta: Theta = 0.0, sampling: SamplingOptions = USUAL_SAMPLING, machine: On = None, memory: Memory = 0,
        cores: Cores = 1, json: Json = False) -> int:
    """Boot a machine into a model and print what it says.

    Packs the checkpoint, compiles the program, writes an image, boots it, streams the text.  A chat model answers the
    prompt, any other goes on with it.

    Parameters
    ----------
    model
        A checkpoint (.bin, .gguf), a packed model (.blm), or a name: smollm2 (the default), another that `barelm
        models` lists, or hf:OWNER/REPO[:FILE] for a GGUF model on huggingface.co.
    prompt
        What is asked, or what the text begins with.
    """
    from barelm.commands.run import run_model

    model, prompt = _model_and_prompt(model, prompt)
    settings = Settings(prompt, system=system, template=not raw, **vars(sampling))
    packing = Packing(quant, kv, context, rope_theta)
    return run_model(Order(model, tokenizer, packing, settings, memory, cores), machine, json)


@app.command
def chat(model: str = DEFAULT_MODEL, prompt: str = "", /, *, system: System = "", quant: Quant = "keep",
         kv: Kv = "auto", context: Context = 0, sampling: SamplingOptions = USUAL_SAMPLING, machine: On = None,
         memory: Memory = 0, cores: Cores = 1, display: Display = False) -> int:
    """Boot a machine into a conversation; this terminal is its console.

    /help says what there is beside talking.  Esc or Ctrl-C stops an answer, Ctrl-D leaves.  What /save writes is kept
    in the data folder (~/.local/share/barelm) and is there the next time.

    Parameters
    ----------
    model
        A chat model: a file (.gguf, .blm) or a name.
    prompt
        The first question, where there is one already.
    """
    from barelm.commands.chat import chat_with

    settings = Settings(prompt, system=system, **vars(sampling))
    return chat_with(Order(model, None, Packing(quant, kv, context), settings, memory, cores), machine, display)


@app.command
def pack(model: str, /, *, output: Output = None, tokenizer: Tokenizer = None, quant: Quant = "keep", kv: Kv = "auto",
         context: Context = 0, rope_theta: Theta = 0.0) -> int:
    """Pack a checkpoint into a .blm, the form the metal reads straight into place.

    Parameters
    ----------
    model
        A checkpoint (.bin, .gguf) or a name.
    """
    from barelm.commands.make import make_model

    return make_model(model, tokenizer, Packing(quant, kv, context, rope_theta), output)


@app.command
def build(*, output: Output = None, fresh: Annotated[bool, Parameter(negative="", help="Even if cached.")] = False,
          checked: Annotated[bool, Parameter(negative="", help="Every access of memory; slow.")] = False) -> int:
    """Compile the program: Python to one UEFI application, from the cache where nothing changed."""
    from barelm.commands.make import make_program

    return make_program(output, fresh, checked)


@app.command
def image(model: str = DEFAULT_MODEL, /, *, output: Output = None,
          chat: Annotated[bool, option_of(EverySetting.chat)] = False, prompt: str = "", system: System = "",
          raw: Raw = False, tokenizer: Tokenizer = None, quant: Quant = "keep", kv: Kv = "auto", context: Context = 0,
          rope_theta: Theta = 0.0, sampling: SamplingOptions = USUAL_SAMPLING,
          of_image: ImageOptions = USUAL_IMAGE, signing: Signing = NOT_SIGNED,
          plain: Annotated[bool, Parameter(negative="", help="A bare FAT32 volume, no partition table.")] = False,
          sector: Annotated[int, Parameter(help="Bytes of a sector of its disk: 512 or 4096.")] = 512, free: Annotated[
              int | None, Parameter(help="MiB to leave free.  Default: 64 with --chat, else 0.")] = None) -> int:
    """Write a bootable disk image with the program, the model and its configuration.

    Parameters
    ----------
    model
        A checkpoint (.bin, .gguf), a packed model (.blm) or a name.
    prompt
        What is asked, or what the text begins with, every time the image boots.
    """
    from barelm.commands.make import make_image

    settings = Settings(prompt, system=system, template=not raw, chat=chat, **vars(sampling), **vars(of_image))
    return make_image(model, tokenizer, Packing(quant, kv, context, rope_theta), settings, output, plain, sector, free,
                      signing.sign, signing.cert)


@app.command
def boot(image: Path, /, *, write: Annotated[bool, Parameter(negative="", help="Keep on the image what is written.")]
         = False, machine: OnBoot = None, memory: Memory = 0, cores: Cores = 1, display: Display = False) -> int:
    """Boot a disk image and show its console; keys typed here are typed there.

    Parameters
    ----------
    image
        What `barelm image` wrote.
    """
    from barelm.commands.boot import boot_image

    return boot_image(image, machine, memory, cores, write, display)


@app.command
def flash(image: Path, device: Path | None = None, /, *, yes: Annotated[bool, Parameter(name=["--yes", "-y"],
          negative="", help="Do not ask.")] = False, fixed: Annotated[bool, Parameter(negative="",
          help="Allow a disk that is built in.")] = False, json: Json = False) -> int:
    """Write an image onto a USB stick, then read it back and compare every byte.

    Everything that was on the stick is lost.  Disks in use are refused, the system's own above all.

    Examples:

        sudo barelm flash stick.img /dev/sdb

    Parameters
    ----------
    image
        What `barelm image` wrote.
    device
        The whole disk, or a plain file.  Without it the removable disks are listed.
    """
    from barelm.commands.flash import flash_image

    return flash_image(image, device, fixed, yes, json)


@app.command
def report(file: Path, /, *more: Path, output: Output = None, json: Json = False) -> int:
    """Show what machines measured: a table, and how the speed grows with the cores.

    Examples:

        barelm report report.json
        barelm report laptop.json /media/me/BARELM stick.img --output plot.svg

    Parameters
    ----------
    file
        A report.json, a folder that holds some, or the image or stick it was written to.
    more
        Further ones.
    output
        An .svg to draw the plot into.
    """
    from barelm.commands.report import show_reports

    return show_reports([file, *more], output, json)


@app.command
def ls(place: str, /, *, json: Json = False) -> int:
    """List the files of an image or a stick.

    Examples:

        barelm ls stick.img:sessions

    Parameters
    ----------
    place
        IMAGE or IMAGE:PATH; the image may be a device.
    """
    from barelm.commands.image_files import list_files

    return list_files(place, json)


@app.command
def cp(source: str, *more: str) -> int:
    """Copy files out of an image or a stick, or into one.

    A file that is there already is replaced, in one moment at the end; directories on the way are made.

    Examples:

        barelm cp stick.img:report.json .
        barelm cp notes.md more.md stick.img:sessions/

    Parameters
    ----------
    source
        A file, or IMAGE:PATH.
    more
        Further ones and, last, where they go.
    """
    from barelm.commands.image_files import copy_files

    return copy_files([source, *more])


@app.command
def show(file: Path, /, *, memory: Annotated[int, Parameter(help=(
        "MiB of a machine: say whether it can hold the model."))] = 0, quant: Quant = "keep", kv: Kv = "auto",
        context: Context = 0, json: Json = False) -> int:
    """Say what a checkpoint, a packed model, a program or an image holds, and what memory a model takes.

    Examples:

        barelm show model.gguf --memory 4096

    Parameters
    ----------
    file
        A .bin, .gguf, .blm, .efi or .img; the options of packing are for the first two.
    """
    from barelm.commands.show import show_file

    return show_file(file, json, memory, Packing(quant, kv, context))


@app.command
def models(*, json: Json = False) -> int:
    """List the models known by name: about their size and memory (4096 tokens), their licence, where they are here."""
    from barelm.commands.models import list_models

    return list_models(json)


@app.command
def pull(name: str, /) -> int:
    """Download a model without running it, and print where it is.  An interrupted download goes on where it stopped.

    Parameters
    ----------
    name
        One that `barelm models` lists, or hf:OWNER/REPO[:FILE]; for FILE an encoding such as Q8_0 will do.
    """
    from barelm.commands.models import pull_model

    return pull_model(name)


@app.command
def doctor(*, json: Json = False) -> int:
    """Say what this host has and lacks, and what to install."""
    from barelm.commands.doctor import examine

    return examine(json)


def _model_and_prompt(model: str | None, prompt: str | None) -> tuple[str, str]:
    """One argument alone is a prompt for the default model, unless it names a model or looks like a file."""
    from barelm.checkpoint.sources.model_names import is_model

    if model is not None and prompt is None and not is_model(model):
        return DEFAULT_MODEL, model
    return DEFAULT_MODEL if model is None else model, prompt or ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code = app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
        sys.stdout.flush()
    except BarelmError as error:
        code = _complain(error, "--json" in arguments)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        _let_go_of_stdout()
        code = 0
    except OSError as error:
        _let_go_of_stdout()
        where = f" to {error.filename}" if error.filename else ""
        code = _complain(BarelmError(f"the system refuses a read or a write{where}: {error.strerror or error}",
                                     "Look whether there is room, and who may write."), False)
    except Exception as error:
        if not type(error).__module__.startswith("cyclopts"):
            raise
        code = 2
    sys.exit(code if isinstance(code, int) else 0)


def _let_go_of_stdout() -> None:
    """Write nothing more, not even at exit: the reader closed the pipe, or there is no room."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(error: BarelmError, as_json: bool) -> int:
    if as_json:
        try:
            print(json.dumps({"error": error.message, "hint": error.hint, "status": 1}), flush=True)
        except OSError:
            _let_go_of_stdout()
    print(f"barelm: {error.message}.\n{error.hint}".rstrip(), file=sys.stderr)
    return 1


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that machines are switched off and nothing half-written stays."""
    raise SystemExit(143)


if __name__ == "__main__":
    main()
