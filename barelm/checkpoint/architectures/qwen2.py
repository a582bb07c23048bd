"""Qwen2 and Qwen2.5 (Yang et al. 2024): biases on queries, keys and values, rotary pairs half a head apart."""

from barelm.checkpoint.model_family import BIASES, TENSORS, ModelFamily

FAMILY = ModelFamily("qwen2", TENSORS | BIASES, rotary="halves")
