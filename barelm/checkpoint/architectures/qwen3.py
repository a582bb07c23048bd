"""Qwen3 (Yang et al. 2025): every query and key head normalised before it turns."""

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import HEAD_NORMS, TENSORS, ModelFamily


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """Norms as wide as a head."""
    return Traits(query_norm_dim=shape.head_dim, key_norm_dim=shape.head_dim)


FAMILY = ModelFamily("qwen3", TENSORS | HEAD_NORMS, rotary="halves", traits=traits)
