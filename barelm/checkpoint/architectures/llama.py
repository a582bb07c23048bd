"""Llama (Touvron et al. 2023) and what is built alike: SmolLM, TinyLlama, Mistral."""

from barelm.checkpoint.architectures.family import Family

FAMILY = Family("llama", rope_factors="rope_freqs.weight")
