"""Gemma 2 (Gemma Team 2024): scores and logits capped, every other layer sees a window, norms before and after."""

import math

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import POST_NORMS, TENSORS, ModelFamily, windows

LAYERS_OF_27B = 46
"""That size alone scales q · k by its width a head, not by the head's own."""


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """Caps, windows and scales."""
    return Traits(
        activation="gelu", embedding_scale=math.sqrt(shape.dim), windows=windows(metadata, shape, 2, 4096),
        attention_scale=1 / math.sqrt(shape.dim / shape.n_heads) if shape.n_layers == LAYERS_OF_27B else 0.0,
        attention_cap=metadata.real(metadata.own("attn_logit_softcapping"), 50.0),
        logit_cap=metadata.real(metadata.own("final_logit_softcapping"), 30.0))


FAMILY = ModelFamily("gemma2", TENSORS | POST_NORMS, rotary="halves", traits=traits,
                     takes=frozenset({"attn_logit_softcapping", "final_logit_softcapping"}))
