"""The metadata of a GGUF model by key, each value of the type it should have; files that are no models are named."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.gguf import FETCH_AGAIN, Container, read_container
from barelm.errors import BarelmError

THE_MODEL = "Give the model itself."
KINDS = {
    "adapter": ("a LoRA adapter, which changes a model and is none itself",
                "Merge it into its model with llama.cpp's llama-export-lora, and give the result."),
    "imatrix": ("an importance matrix, which helps to quantize a model and is none itself", THE_MODEL),
    "mmproj": ("what a model sees or hears with (mmproj), and no model itself", "Give the model it belongs to."),
    "clip": ("what a model sees or hears with (mmproj), and no model itself", "Give the model it belongs to."),
    "controlvector": ("a control vector, which steers a model and is none itself", THE_MODEL),
}
"""By `general.type`, or by `general.architecture` in files that have no type."""


@dataclass(frozen=True)
class Metadata:
    """Typed views of a container's metadata.

    Each method returns the value of `key`, or `default` where the key is absent; without a default the key is
    required.  A value of another type is a BarelmError.
    """

    container: Container

    def __contains__(self, key: str) -> bool:
        return key in self.container.metadata

    @cached_property
    def architecture(self) -> str:
        """What kind of model it is."""
        return self.text("general.architecture")

    def own(self, key: str) -> str:
        """The name of a key of its kind of model."""
        return f"{self.architecture}.{key}"

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.damaged(f"its {key} is no whole number")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.damaged(f"its {key} is no finite number")
        return float(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Yes or no."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.damaged(f"its {key} is neither true nor false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.damaged(f"its {key} is no text")
        return value

    def strings(self, key: str) -> tuple[bytes, ...]:
        """An array of strings."""
        value = self._get(key, None)
        if not isinstance(value, tuple):
            raise self.damaged(f"its {key} is no array of strings")
        return value

    def numbers(self, key: str, count: int) -> NDArray[np.generic]:
        """An array of `count` numbers."""
        value = self._get(key, None)
        if not isinstance(value, np.ndarray) or len(value) != count:
            raise self.damaged(f"its {key} is no array of {count} numbers")
        return value

    def damaged(self, why: str) -> BarelmError:
        """The error that says why this is no sound model."""
        return BarelmError(f"{self.container.path} is damaged: {why}", FETCH_AGAIN)

    def refused(self, what: str) -> BarelmError:
        """The error that says what a model has that barelm does not support."""
        return BarelmError(f"{self.container.path} {what}, which this barelm does not support",
                           "Choose a model without it.")

    def _get(self, key: str, default: object) -> object:
        value = self.container.metadata.get(key, default)
        if value is None:
            raise self.damaged(f"its {key} is missing")
        return value


def read_model_metadata(path: Path) -> Metadata:
    """The metadata of a model, of all parts of a split one.  Raises BarelmError as `read_container`, and where the file
    is none, which is then called what it is.
    """
    container = read_container(path)
    for key in ("general.type", "general.architecture"):
        kind = container.metadata.get(key)
        if isinstance(kind, str) and kind in KINDS:
            what, hint = KINDS[kind]
            raise BarelmError(f"{path} is {what}", hint)
    if not container.tensors:
        what = "a vocabulary and no weights" if "tokenizer.ggml.tokens" in container.metadata else "no tensors"
        raise BarelmError(f"{path} holds {what}: it is no model", THE_MODEL)
    return Metadata(container)
