"""Gemma 3 (Gemma Team 2025): five layers of six see a window, turned by angles of their own, and no caps any more."""

import math

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import HEAD_NORMS, POST_NORMS, TENSORS, ModelFamily, windows
from barelm.contract.layout import TURNED, TURNED_LOCALLY

PERIOD = 6
LAYERS_OF_27B = 62
"""That size alone scales q · k by its width a head, not by the head's own."""


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """Windows, two tables of angles, norms of heads, scales."""
    seen = windows(metadata, shape, metadata.whole(metadata.own("attention.sliding_window_pattern"), PERIOD))
    return Traits(
        activation="gelu", embedding_scale=math.sqrt(shape.dim), query_norm_dim=shape.head_dim,
        key_norm_dim=shape.head_dim, windows=seen,
        rope_tables=tuple(TURNED_LOCALLY if window else TURNED for window in seen),
        local_theta=metadata.real(metadata.own("rope.freq_base_swa"), 10000.0),
        attention_scale=1 / math.sqrt(shape.dim / shape.n_heads) if shape.n_layers == LAYERS_OF_27B else 0.0,
        logit_cap=metadata.real(metadata.own("final_logit_softcapping"), 0.0))


FAMILY = ModelFamily("gemma3", TENSORS | HEAD_NORMS | POST_NORMS, rotary="halves", traits=traits,
                     takes=frozenset({"final_logit_softcapping"}))
