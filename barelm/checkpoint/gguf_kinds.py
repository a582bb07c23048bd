"""GGUF files that are no models: what lies beside models in the same container is called what it is."""

from pathlib import Path

from barelm.checkpoint.gguf import Container, read_container
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


def read_model_container(path: Path) -> Container:
    """The container at `path`, all parts of a split one.  Raises as `read_container`, and where it is no model."""
    container = read_container(path)
    for key in ("general.type", "general.architecture"):
        kind = container.metadata.get(key)
        if isinstance(kind, str) and kind in KINDS:
            what, hint = KINDS[kind]
            raise BarelmError(f"{path} is {what}", hint)
    if not container.tensors:
        what = "a vocabulary and no weights" if "tokenizer.ggml.tokens" in container.metadata else "no tensors"
        raise BarelmError(f"{path} holds {what}: it is no model", THE_MODEL)
    return container
