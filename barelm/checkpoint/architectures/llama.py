"""Llama (Touvron et al. 2023) and what is built alike: SmolLM, TinyLlama, Mistral; some files have biases."""

from barelm.checkpoint.model_family import BIASES, TENSORS, ModelFamily

OPTIONAL = BIASES | {"bo": "blk.{}.attn_output.bias", "b1": "blk.{}.ffn_gate.bias", "b2": "blk.{}.ffn_down.bias",
                     "b3": "blk.{}.ffn_up.bias"}

FAMILY = ModelFamily("llama", TENSORS | OPTIONAL, rope_factors="rope_freqs.weight",
                     may_be_absent=frozenset({"classifier", *OPTIONAL}))
