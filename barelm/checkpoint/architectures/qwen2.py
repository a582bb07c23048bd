"""Qwen2 and Qwen2.5 (Yang et al. 2024): biases on queries, keys and values, rotary pairs half a head apart."""

from barelm.checkpoint.architectures.model_family import TENSORS, ModelFamily

BIASES = {"bq": "blk.{}.attn_q.bias", "bk": "blk.{}.attn_k.bias", "bv": "blk.{}.attn_v.bias"}

FAMILY = ModelFamily("qwen2", TENSORS | BIASES, rotary="halves")
