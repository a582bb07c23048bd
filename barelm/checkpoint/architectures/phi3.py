"""Phi-3 and Phi-4 (Abdin et al. 2024): queries, keys and values in one tensor, gate and up in one, long contexts."""

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import TENSORS, ModelFamily, without


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """A window, where one is given."""
    size = metadata.whole(metadata.own("attention.sliding_window"), 0)
    return Traits(windows=(size,) * shape.n_layers if 0 < size < shape.seq_len else ())


FAMILY = ModelFamily(
    "phi3", without(TENSORS, "wq", "wk", "wv", "w1", "w3"), rotary="halves", traits=traits,
    fused={"blk.{}.attn_qkv.weight": ("wq", "wk", "wv"), "blk.{}.ffn_up.weight": ("w1", "w3")})
