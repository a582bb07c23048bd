"""gpt-oss (OpenAI 2025): experts with clamped gates, sinks beside the scores, a window in every other layer."""

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import BIASES, EXPERTS, TENSORS, ModelFamily, windows

MORE = {"ffn_norm": "blk.{}.post_attention_norm.weight", "bo": "blk.{}.attn_output.bias",
        "sinks": "blk.{}.attn_sinks.weight", "router_bias": "blk.{}.ffn_gate_inp.bias",
        "b1": "blk.{}.ffn_gate_exps.bias", "b2": "blk.{}.ffn_down_exps.bias", "b3": "blk.{}.ffn_up_exps.bias"}


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """Experts and windows."""
    return Traits(activation="clamped", windows=windows(metadata, shape, 2),
                  n_experts=metadata.whole(metadata.own("expert_count")),
                  n_experts_used=metadata.whole(metadata.own("expert_used_count")))


FAMILY = ModelFamily("gpt-oss", TENSORS | BIASES | EXPERTS | MORE, rotary="halves", traits=traits,
                     hidden_dim="expert_feed_forward_length", takes=frozenset({"expert_count"}))
