"""Llama (Touvron et al. 2023) and what is built alike: SmolLM, TinyLlama, Mistral."""

from barelm.checkpoint.architectures.model_family import ModelFamily

FAMILY = ModelFamily("llama", rope_factors="rope_freqs.weight")
