"""GPT-2 (Radford et al. 2019), and the nano GPT of `examples/`: learnt positions, layer norms, biases, no gate."""

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import TENSORS, ModelFamily, without
from barelm.contract.layout import NOT_TURNED

MORE = {"positions": "position_embd.weight", "attention_shift": "blk.{}.attn_norm.bias",
        "ffn_shift": "blk.{}.ffn_norm.bias", "final_shift": "output_norm.bias", "bo": "blk.{}.attn_output.bias",
        "b2": "blk.{}.ffn_down.bias", "b3": "blk.{}.ffn_up.bias"}


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """Positions that are learnt, and what the network is made of."""
    return Traits(norm="layer", activation="gelu", gated=False, n_positions=shape.seq_len,
                  rope_tables=(NOT_TURNED,) * shape.n_layers)


FAMILY = ModelFamily(
    "gpt2", without(TENSORS, "wq", "wk", "wv", "w1") | MORE, norm_eps="attention.layer_norm_epsilon", traits=traits,
    fused={"blk.{}.attn_qkv.weight": ("wq", "wk", "wv"), "blk.{}.attn_qkv.bias": ("bq", "bk", "bv")})
