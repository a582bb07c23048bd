"""Granite 3 (IBM 2024): a Llama with four scales."""

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import TENSORS, ModelFamily

SCALES = frozenset({"embedding_scale", "residual_scale", "attention.scale", "logit_scale"})


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """Its scales; logits are divided by theirs."""
    embedding, residual, attention, logit = (metadata.real(metadata.own(key), 0.0) for key in (
        "embedding_scale", "residual_scale", "attention.scale", "logit_scale"))
    return Traits(embedding_scale=embedding or 1.0, residual_scale=residual or 1.0, attention_scale=attention,
                  logit_scale=1 / (logit or 1.0))


FAMILY = ModelFamily("granite", TENSORS, traits=traits, takes=SCALES)
