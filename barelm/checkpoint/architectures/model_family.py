"""What a family of models says of itself: how its files name the parts of the one decoder, and which traits it has.

The decoder is that of `kernels.transformer`; its tensors are those of `contract.sections`.  A family that needs a trait
the decoder has not yet adds it there first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

TENSORS = {
    "token_embedding": "token_embd.weight", "final_norm": "output_norm.weight", "classifier": "output.weight",
    "attention_norm": "blk.{}.attn_norm.weight", "wq": "blk.{}.attn_q.weight", "wk": "blk.{}.attn_k.weight",
    "wv": "blk.{}.attn_v.weight", "wo": "blk.{}.attn_output.weight", "ffn_norm": "blk.{}.ffn_norm.weight",
    "w1": "blk.{}.ffn_gate.weight", "w2": "blk.{}.ffn_down.weight", "w3": "blk.{}.ffn_up.weight"}
"""The decoder's tensors as GGUF files name them, `{}` being the layer."""

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
}
"""Keys of traits the decoder has not: what they make a model do.  Absent or zero they do nothing."""


@dataclass(frozen=True)
class ModelFamily:
    """A family: the name of its architecture, with which its keys begin, and what differs from the others."""

    architecture: str
    tensors: Mapping[str, str] = field(default_factory=lambda: TENSORS)
    may_be_absent: frozenset[str] = frozenset({"classifier"})  # of them; the embedding serves as the classifier
    rotary: str = "pairs"  # which components of a head turn together: one of layout.ROTARY_NAMES
    rope_factors: str = ""  # a tensor the frequencies are divided by, where a file has it
    refused: Mapping[str, str] = field(default_factory=lambda: CHANGES)
