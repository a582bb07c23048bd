"""How far one model's distribution over the next token is from another's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Logits = NDArray[np.floating[Any]]


def log_softmax(logits: Logits) -> F64:
    """Along the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    found: F64 = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found


def divergences(reference: Logits, found: Logits) -> F64:
    """KL(reference || found) in nats, at every position of logits of shape (positions, vocab_size)."""
    p, q = log_softmax(reference), log_softmax(found)
    kl: F64 = (np.exp(p) * (p - q)).sum(-1)
    return kl


def gaps(logits: Logits) -> F64:
    """How far the two greatest logits lie apart, at every position."""
    greatest = np.partition(logits.astype(np.float64), -2, axis=-1)[..., -2:]
    apart: F64 = greatest[..., 1] - greatest[..., 0]
    return apart


def same_choices(reference: Logits, found: Logits, noise: float) -> bool:
    """Whether both choose the same token wherever the reference's choice is clearer than `noise`."""
    clear = gaps(reference) > noise
    return bool((reference.argmax(-1) == found.argmax(-1))[clear].all())
