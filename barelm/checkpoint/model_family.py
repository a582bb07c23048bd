"""What a family of models says of itself: how its files name the parts of the one decoder, and which traits it has.

The decoder is that of `kernels.decoder`; its tensors are those of `contract.sections`.  A family that needs a trait the
decoder has not yet adds it there first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata

TENSORS = {
    "token_embedding": "token_embd.weight", "final_norm": "output_norm.weight", "classifier": "output.weight",
    "attention_norm": "blk.{}.attn_norm.weight", "wq": "blk.{}.attn_q.weight", "wk": "blk.{}.attn_k.weight",
    "wv": "blk.{}.attn_v.weight", "wo": "blk.{}.attn_output.weight", "ffn_norm": "blk.{}.ffn_norm.weight",
    "w1": "blk.{}.ffn_gate.weight", "w2": "blk.{}.ffn_down.weight", "w3": "blk.{}.ffn_up.weight"}
"""The decoder's tensors as GGUF files name them, `{}` being the layer."""

BIASES = {"bq": "blk.{}.attn_q.bias", "bk": "blk.{}.attn_k.bias", "bv": "blk.{}.attn_v.bias"}
HEAD_NORMS = {"query_norm": "blk.{}.attn_q_norm.weight", "key_norm": "blk.{}.attn_k_norm.weight"}
POST_NORMS = {"attention_post_norm": "blk.{}.post_attention_norm.weight",
              "ffn_post_norm": "blk.{}.post_ffw_norm.weight"}
EXPERTS = {"w1": "blk.{}.ffn_gate_exps.weight", "w2": "blk.{}.ffn_down_exps.weight",
           "w3": "blk.{}.ffn_up_exps.weight", "router": "blk.{}.ffn_gate_inp.weight"}
"""What several families have beside them, or in their place."""

CHANGES = {
    "expert_count": "is a mixture of experts",
    "attention.scale": "scales its attention",
    "attention.clamp_kqv": "clamps its attention",
    "attention.max_alibi_bias": "biases its attention by position (ALiBi)",
    "attn_logit_softcapping": "caps its attention",
    "final_logit_softcapping": "caps its logits",
    "logit_scale": "scales its logits",
    "embedding_scale": "scales its embedding",
    "residual_scale": "scales its residuals",
    "use_parallel_residual": "has parallel residuals",
    "expert_shared_count": "has experts that every token takes",
    "expert_weights_scale": "scales the answers of its experts",
    "leading_dense_block_count": "has layers without experts",
}
"""Keys of traits: what they make a model do.  Absent or zero they do nothing."""


LEFT_OUT = {
    "qwen35": "most of its layers keep a recurrent state (Gated DeltaNet) in place of keys and values",
    "qwen35moe": "most of its layers keep a recurrent state (Gated DeltaNet) in place of keys and values",
    "qwen3next": "most of its layers keep a recurrent state (Gated DeltaNet) in place of keys and values",
    "gemma4": "its layers share keys and have embeddings of their own",
    "gemma3n": "its layers share keys and have embeddings of their own",
    "deepseek2": "it compresses its keys and values (multi-head latent attention)",
    "mistral3": "it scales its attention by position",
    "llama4": "its layers attend in chunks, and every token takes a shared expert",
    "lfm2": "most of its layers are convolutions",
    "granitehybrid": "most of its layers keep a recurrent state (Mamba)",
    "mamba": "its layers keep a recurrent state",
    "rwkv7": "its layers keep a recurrent state",
    "bert": "it reads text, but writes none",
}
"""Architectures people have and the decoder has not, each with the reason."""


def plain(metadata: Metadata, shape: Shape) -> Traits:
    """Those of a Llama."""
    return Traits()


@dataclass(frozen=True)
class ModelFamily:
    """A family: the name of its architecture, with which its keys begin, and what differs from the others."""

    architecture: str
    tensors: Mapping[str, str] = field(default_factory=lambda: TENSORS)
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # tensors that lie in one, by its name there
    may_be_absent: frozenset[str] = frozenset({"classifier"})  # of them; the embedding serves as the classifier
    rotary: str = "pairs"  # which components of a head turn together: one of layout.ROTARY_NAMES
    rope_factors: str = ""  # a tensor the frequencies are divided by, where a file has it
    hidden_dim: str = "feed_forward_length"  # the keys of two sizes
    norm_eps: str = "attention.layer_norm_rms_epsilon"
    traits: Callable[[Metadata, Shape], Traits] = plain
    takes: frozenset[str] = frozenset()  # of CHANGES, what its traits have taken up


def without(tensors: Mapping[str, str], *names: str) -> dict[str, str]:
    """All but some."""
    return {name: stored for name, stored in tensors.items() if name not in names}


def windows(metadata: Metadata, shape: Shape, of: int, default: int | None = None) -> tuple[int, ...]:
    """A window in all layers but every `of`th."""
    size = metadata.whole(metadata.own("attention.sliding_window"), default)
    return tuple(size if (l + 1) % of else 0 for l in range(shape.n_layers))
