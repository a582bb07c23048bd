"""The options that several commands share, each declared once; those of settings come from their rows."""

from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from barelm.contract.settings import AMOUNT, CHOICE, IMAGE, NETWORK, TEXTS, AnySetting, EverySetting, grouped

DEFAULT_MODEL = "smollm2"
NOT_NEGATIVE = validators.Number(gte=0)


def option_of(row: AnySetting) -> Parameter:
    """The option of a setting."""
    assert row.option is not None
    name = f"--{row.name.replace('_', '-')}"
    return Parameter(name=[name, row.option.short] if row.option.short else name, help=row.option.help,
                     negative=None if row.default is True else "", show_default=False if row.kind == TEXTS else None)


def options_of(*groups: int) -> type:
    """A class with the settings of some groups that have an option; a command with an argument of it has them all."""
    return make_dataclass("Options", [(row.name, Annotated[type_of(row), option_of(row)], row.unasked)
                                      for row in grouped() if row.group in groups and row.option], frozen=True)


def type_of(row: AnySetting) -> Any:
    """What the arguments of an option become."""
    if row.option and row.option.closed:
        return Literal[row.names]
    kind = tuple[str, ...] if row.kind == TEXTS else type(row.default)
    return kind | None if row.suited else kind


MachineName = Literal["qemu", "hosted"]
Tokenizer = Annotated[Path | None, Parameter(name=["--tokenizer", "-z"], help="Its tokenizer, where not beside it.")]
Key = Annotated[str, Parameter(env_var="BARELM_KEY", help="What clients have to show as their bearer token.")]
On = Annotated[MachineName | None, Parameter(name="--machine", help="Default: qemu where it need not translate.")]
Memory = Annotated[int, Parameter(name="--memory", help="Of the machine, MiB; 0: what the model needs.")]
Cores = Annotated[int, Parameter(name="--cores", help="Of the machine; 0: as many as this host has.")]
Quant = Annotated[Literal["keep", "q8", "q6_k", "q4", "q4_k", "f32"], Parameter(help="How to pack the weights.")]
Kv = Annotated[Literal["auto", "f32", "f16", "q8"], Parameter(help="How to keep keys and values.")]
Context = Annotated[int, Parameter(validator=NOT_NEGATIVE, help=(
    "Tokens to have room for, at most the model's own; 0: as many as suit its size."))]
Theta = Annotated[float, Parameter(name="--rope-theta", help=(
    "RoPE's base, where a .bin was trained with another than 10000."))]
System = Annotated[str, option_of(EverySetting.system)]
Raw = Annotated[bool, Parameter(negative="", help="Complete the prompt as it stands, without the chat template.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON object on stdout.")]
OnBoot = Annotated[MachineName | None, Parameter(name="--machine", help="Default: qemu where installed, else hosted.")]
Display = Annotated[bool, Parameter(negative="", help="Show the machine's screen in a window (QEMU).")]
Output = Annotated[Path | None, Parameter(name=["--output", "-o"], help="Where to write.  Default: a new file here.")]


@Parameter(name="*")
@dataclass(frozen=True)
class SamplingOptions(options_of(CHOICE, AMOUNT)):  # type: ignore[misc]
    """How tokens are chosen, and how many: options that several commands share, named as in `Settings`."""


@Parameter(name="*")
@dataclass(frozen=True)
class ImageOptions(options_of(IMAGE, NETWORK)):  # type: ignore[misc]
    """How the machine behaves that starts from an image, and what it serves."""


USUAL_SAMPLING, USUAL_IMAGE = SamplingOptions(), ImageOptions()
