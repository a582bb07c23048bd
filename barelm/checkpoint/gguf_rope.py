"""How a GGUF model stretches its rotary angles to longer contexts: linear, Llama 3's factors, YaRN, LongRoPE."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Shape, Tensor
from barelm.checkpoint.gguf import StoredTensor
from barelm.checkpoint.gguf_metadata import Metadata

LONG_FACTORS = ("rope_factors_short.weight", "rope_factors_long.weight")
"""LongRoPE's: for contexts up to the original one, and beyond it (Ding et al. 2024)."""

LARGEST_FACTOR = 1e6


def stretched(metadata: Metadata, shape: Shape, factors_name: str) -> Shape:
    """A shape with what divides its positions and frequencies, and with what its cosines are multiplied by."""
    rule = metadata.own("rope.scaling.type")
    kind = metadata.text(rule, "linear")
    factor = metadata.real(metadata.own("rope.scaling.factor"), metadata.real(metadata.own("rope.scale_linear"), 0.0))
    if factor and not 0 < factor < LARGEST_FACTOR:
        raise metadata.damaged(f"its {metadata.own('rope.scaling.factor')} is {factor:g}")
    magnitude = metadata.real(metadata.own("rope.scaling.attn_factor"), 1.0)
    if any(name in metadata.container.tensors for name in LONG_FACTORS):
        return _long(metadata, shape, magnitude)
    if kind == "yarn":
        return _yarn(metadata, shape, factor or 1.0, magnitude)
    if kind not in ("linear", "none"):
        raise metadata.refused(f"stretches its positions by the rule {kind!r:.40} ({rule})")
    if magnitude != 1:
        raise metadata.refused(f"scales its attention ({metadata.own('rope.scaling.attn_factor')})")
    return replace(shape, rope_scale=1.0 if kind == "none" or factor == 0 else factor,
                   rope_factors=_factors(metadata, factors_name, shape) if factors_name else ())


def _yarn(metadata: Metadata, shape: Shape, factor: float, magnitude: float) -> Shape:
    """High frequencies as they are, low ones divided by the factor, a ramp between (Peng et al. 2023)."""
    original = metadata.whole(metadata.own("rope.scaling.original_context_length"), shape.seq_len)
    fast = metadata.real(metadata.own("rope.scaling.yarn_beta_fast"), 32.0)
    slow = metadata.real(metadata.own("rope.scaling.yarn_beta_slow"), 1.0)
    for key in ("rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor"):
        if metadata.own(key) in metadata:
            raise metadata.refused(f"changes its stretched positions further ({metadata.own(key)})")

    def pair_of(turns: float) -> float:
        """The pair that turns so many times within the original context."""
        return shape.rope_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(shape.rope_theta))

    if original < 1 or fast <= 0 or slow <= 0 or shape.rope_theta <= 1:
        raise metadata.damaged("the numbers that stretch its positions are not positive")
    try:
        low, high = max(0, math.floor(pair_of(fast))), min(shape.rope_dim - 1, math.ceil(pair_of(slow)))
    except (ValueError, OverflowError) as error:
        raise metadata.damaged("the numbers that stretch its positions are out of bounds") from error
    pairs = np.arange(shape.rope_dim // 2)
    kept = 1 - np.clip((pairs - low) / max(0.001, high - low), 0, 1)
    magnitude *= 1 + 0.1 * math.log(factor)
    return replace(shape, rope_factors=tuple(map(float, 1 / (kept + (1 - kept) / factor))),
                   traits=replace(shape.traits, rope_magnitude=magnitude))


def _long(metadata: Metadata, shape: Shape, magnitude: float) -> Shape:
    """Factors of their own for contexts beyond the original one."""
    original = metadata.whole(metadata.own("rope.scaling.original_context_length"), shape.seq_len)
    short, long = (_factors(metadata, name, shape) for name in LONG_FACTORS)
    return replace(shape, rope_factors=long, traits=replace(
        shape.traits, rope_magnitude=magnitude, short_factors=short, short_context=original))


def _factors(metadata: Metadata, name: str, shape: Shape) -> tuple[float, ...]:
    """What each pair's frequency is divided by; () where a file has no such tensor."""
    stored = metadata.container.tensors.get(name)
    if stored is None:
        return ()
    factors = stored_tensor(metadata, stored, 1, shape.rope_dim // 2).float32()[0]
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise metadata.damaged(f"its {name} are not all positive")
    return tuple(map(float, factors))


def stored_tensor(metadata: Metadata, stored: StoredTensor, rows: int, cols: int) -> Tensor:
    """A stored tensor, where it has the size it should have; of experts, all of them, one above another."""
    # One row may be written as a vector or as a matrix.
    odd = rows > 1 and stored.sizes[0] != cols or len(stored.sizes) > 2 and stored.sizes[-1] == 1
    if odd or math.prod(stored.sizes) != rows * cols:
        found = " x ".join(map(str, reversed(stored.sizes)))
        raise metadata.damaged(f"the tensor {stored.name} has {found} values instead of {rows} x {cols}")
    data: NDArray[np.uint8] = stored.data.reshape(rows, -1)
    return Tensor(stored.form.name, rows, cols, data, stored.form.dequantize)
