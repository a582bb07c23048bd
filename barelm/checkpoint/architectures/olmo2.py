"""OLMo 2 and 3 (Team OLMo 2024): norms behind the blocks, and of all queries and keys together; windows in OLMo 3."""

from barelm.checkpoint.checkpoint import Shape, Traits
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.model_family import HEAD_NORMS, POST_NORMS, TENSORS, ModelFamily, windows, without
from barelm.contract.layout import TURNED, TURNED_LOCALLY

PERIOD = 4


def traits(metadata: Metadata, shape: Shape) -> Traits:
    """Wide norms; layers with a window turn as if nothing were stretched."""
    seen = windows(metadata, shape, PERIOD, 0)
    return Traits(query_norm_dim=shape.q_dim, key_norm_dim=shape.kv_dim, windows=seen, local_theta=shape.rope_theta,
                  rope_tables=tuple(TURNED_LOCALLY if window else TURNED for window in seen))


FAMILY = ModelFamily("olmo2", without(TENSORS, "attention_norm", "ffn_norm") | HEAD_NORMS | POST_NORMS,
                     rotary="halves", traits=traits)
