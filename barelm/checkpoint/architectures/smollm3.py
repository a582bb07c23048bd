"""SmolLM3 (Bakouch et al. 2025): a Llama of which every fourth layer knows no positions."""

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import TENSORS, ModelFamily
from barelm.contract.layout import NOT_TURNED, TURNED

PERIOD = 4


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """Layers that are not turned."""
    return Traits(rope_tables=tuple(TURNED if (l + 1) % PERIOD else NOT_TURNED for l in range(shape.n_layers)))


FAMILY = ModelFamily("smollm3", TENSORS, traits=traits)
