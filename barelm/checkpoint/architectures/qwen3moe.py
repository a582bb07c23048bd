"""Qwen3 with experts (Yang et al. 2025): of each token the best, their parts a softmax of their routes alone."""

from dataclasses import replace

from barelm.checkpoint.architectures import qwen3
from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import EXPERTS, HEAD_NORMS, TENSORS, ModelFamily


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """As of Qwen3, and experts."""
    return replace(qwen3.traits(metadata, shape), n_experts=metadata.whole(metadata.own("expert_count")),
                   n_experts_used=metadata.whole(metadata.own("expert_used_count")))


FAMILY = ModelFamily("qwen3moe", TENSORS | HEAD_NORMS | EXPERTS, rotary="halves", traits=traits,
                     hidden_dim="expert_feed_forward_length", takes=frozenset({"expert_count"}))
