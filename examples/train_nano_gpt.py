"""Train a small GPT-2 with nothing but NumPy, and write it as a `.gguf` that barelm boots: a lesson.

    python examples/train_nano_gpt.py nano.gguf [--text FILE]
    barelm run nano.gguf "Once"

The model is GPT-2 (Radford et al. 2019) with two layers and about 120 thousand numbers.  It reads bytes, and learns to
say which byte comes next.  After a minute its lines sound like the nursery rhymes it was given, which is all that so
small a model can do with so small a text.

How to read this file: a part of the model is a function that computes its output, and beside it returns another
function, which goes backwards.  Given how much the loss grows with each number of the output, `back` says how much it
grows with each number of the input, and notes the same for the weights in `grads`.  All the parts, one after another
and then back again, are the whole of training: the rest is taking a small step downhill, many times.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
from numpy.typing import NDArray

from barelm.host_files import written_beside

Array = NDArray[np.floating[Any]]
Ids = NDArray[np.int64]
Weights = dict[str, Array]  # by the names they have in the file; a matrix has a row for each output
Back = Callable[[Array, Weights], Array]

EPSILON = 1e-5
END = 256  # the token behind every text; those before it are the 256 bytes
N_TOKENS = 258
RHYMES = Path(__file__).with_name("nursery_rhymes.txt")


class Sizes(NamedTuple):
    """How large the model is."""

    n_layers: int = 2
    dim: int = 64
    n_heads: int = 4
    context: int = 128
    n_tokens: int = N_TOKENS


# The text.

def tokens_of(text: bytes) -> Ids:
    """Every paragraph's bytes, and END behind each: a model that has seen it knows when to stop."""
    paragraphs = [paragraph.strip() for paragraph in text.replace(b"\r\n", b"\n").split(b"\n\n")]
    return np.array([token for paragraph in paragraphs if paragraph for token in (*paragraph, END)], np.int64)


def some_windows(tokens: Ids, rng: np.random.Generator, n: int, width: int) -> tuple[Ids, Ids]:
    """n pieces of the text from random places, and for each of their tokens the one that comes next."""
    starts = rng.integers(0, len(tokens) - width, n)[:, None] + np.arange(width)
    return tokens[starts], tokens[starts + 1]


# The parts of the model.  x is of shape (texts, positions, dim).

def linear(w: Weights, name: str, x: Array) -> tuple[Array, Back]:
    """W x + b."""
    weight = w[f"{name}.weight"]

    def back(dy: Array, grads: Weights) -> Array:
        flat = dy.reshape(-1, dy.shape[-1])
        grads[f"{name}.weight"] = flat.T @ x.reshape(-1, x.shape[-1])
        grads[f"{name}.bias"] = flat.sum(0)
        dx: Array = dy @ weight
        return dx

    return x @ weight.T + w[f"{name}.bias"], back


def layer_norm(w: Weights, name: str, x: Array) -> tuple[Array, Back]:
    """g (x - mean) / sqrt(variance + ε) + b: every position's numbers on one scale (Ba et al. 2016)."""
    centred = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)
    unit = centred * scale
    gain = w[f"{name}.weight"]

    def back(dy: Array, grads: Weights) -> Array:
        grads[f"{name}.weight"] = (dy * unit).sum((0, 1))
        grads[f"{name}.bias"] = dy.sum((0, 1))
        du = dy * gain
        # What would only move or stretch all the numbers of a position together has no effect: it is taken away.
        dx: Array = scale * (du - du.mean(-1, keepdims=True) - unit * (du * unit).mean(-1, keepdims=True))
        return dx

    return gain * unit + w[f"{name}.bias"], back


def gelu(x: Array) -> tuple[Array, Back]:
    """x Φ(x), nearly: 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) (Hendrycks and Gimpel 2016)."""
    root = float(np.sqrt(2 / np.pi))
    tanh = np.tanh(root * (x + 0.044715 * x * x * x))

    def back(dy: Array, grads: Weights) -> Array:
        slope = root * (1 + 3 * 0.044715 * x * x) * (1 - tanh * tanh)
        dx: Array = dy * (0.5 * (1 + tanh) + 0.5 * x * slope)
        return dx

    return 0.5 * x * (1 + tanh), back


def softmax(x: Array) -> Array:
    """Numbers as shares of one; the greatest is subtracted first, so that nothing overflows."""
    e = np.exp(x - x.max(-1, keepdims=True))
    shares: Array = e / e.sum(-1, keepdims=True)
    return shares


def heads_attend(n_heads: int, qkv: Array) -> tuple[Array, Back]:
    """softmax(q kᵀ / √d) v for every head: each position gathers from those up to its own (Vaswani et al. 2017)."""
    n, t, width = qkv.shape
    size = width // 3 // n_heads
    q, k, v = qkv.reshape(n, t, 3, n_heads, size).transpose(2, 0, 3, 1, 4)  # each (texts, heads, positions, size)
    later = np.triu(np.ones((t, t), bool), 1)
    shares = softmax(np.where(later, -np.inf, q @ k.swapaxes(2, 3) / size ** 0.5))

    def back(dy: Array, grads: Weights) -> Array:
        dout = dy.reshape(n, t, n_heads, size).transpose(0, 2, 1, 3)
        dshares = dout @ v.swapaxes(2, 3)
        # A share can only grow if others shrink.
        dscores = shares * (dshares - (dshares * shares).sum(-1, keepdims=True)) / size ** 0.5
        parts = np.stack([dscores @ k, dscores.swapaxes(2, 3) @ q, shares.swapaxes(2, 3) @ dout])
        return parts.transpose(1, 3, 0, 2, 4).reshape(qkv.shape)

    return (shares @ v).transpose(0, 2, 1, 3).reshape(n, t, -1), back


def chain(x: Array, *parts: Callable[[Array], tuple[Array, Back]]) -> tuple[Array, Back]:
    """One part after another; backwards, the last one first."""
    backs = []
    for part in parts:
        x, back = part(x)
        backs.append(back)

    def back_through_all(dy: Array, grads: Weights) -> Array:
        for back in reversed(backs):
            dy = back(dy, grads)
        return dy

    return x, back_through_all


def attention(w: Weights, l: int, n_heads: int, x: Array) -> tuple[Array, Back]:
    """The first half of a layer: what comes before is looked at, and added to what is there."""
    added, back = chain(x, partial(layer_norm, w, f"blk.{l}.attn_norm"), partial(linear, w, f"blk.{l}.attn_qkv"),
                        partial(heads_attend, n_heads), partial(linear, w, f"blk.{l}.attn_output"))
    return x + added, lambda dy, grads: dy + back(dy, grads)


def feed_forward(w: Weights, l: int, x: Array) -> tuple[Array, Back]:
    """The second half: every position thinks for itself, and adds what it finds."""
    added, back = chain(x, partial(layer_norm, w, f"blk.{l}.ffn_norm"), partial(linear, w, f"blk.{l}.ffn_up"), gelu,
                        partial(linear, w, f"blk.{l}.ffn_down"))
    return x + added, lambda dy, grads: dy + back(dy, grads)


# The model.

def new_weights(sizes: Sizes, rng: np.random.Generator) -> Weights:
    """Small random numbers to begin with, as for GPT-2."""
    d, hidden = sizes.dim, 4 * sizes.dim
    matrices = {"token_embd": (sizes.n_tokens, d), "position_embd": (sizes.context, d)}
    norms = ["output_norm"]
    for l in range(sizes.n_layers):
        norms += [f"blk.{l}.attn_norm", f"blk.{l}.ffn_norm"]
        matrices |= {f"blk.{l}.attn_qkv": (3 * d, d), f"blk.{l}.attn_output": (d, d),
                     f"blk.{l}.ffn_up": (hidden, d), f"blk.{l}.ffn_down": (d, hidden)}
    w: Weights = {}
    for name in norms:
        w |= {f"{name}.weight": np.ones(d, np.float32), f"{name}.bias": np.zeros(d, np.float32)}
    for name, (rows, cols) in matrices.items():
        w[f"{name}.weight"] = rng.normal(0, 0.02 if name.endswith("embd") else cols ** -0.5 / 2, (rows, cols)
                                         ).astype(np.float32)
        if not name.endswith("embd"):
            w[f"{name}.bias"] = np.zeros(rows, np.float32)
    return w


def forward(w: Weights, sizes: Sizes, ids: Ids) -> tuple[Array, Back]:
    """A score for every token that may come next, at every position: (texts, positions, n_tokens)."""
    table = w["token_embd.weight"]
    x: Array = table[ids] + w["position_embd.weight"][:ids.shape[1]]
    halves = [half for l in range(sizes.n_layers) for half in (partial(attention, w, l, sizes.n_heads),
                                                               partial(feed_forward, w, l))]
    x, back_layers = chain(x, *halves, partial(layer_norm, w, "output_norm"))

    def back(dlogits: Array, grads: Weights) -> Array:
        dx = back_layers(dlogits @ table, grads)
        # The table is used twice: a token is read by its row, and said by it.
        said = dlogits.reshape(-1, len(table)).T @ x.reshape(-1, sizes.dim)
        np.add.at(said, ids.reshape(-1), dx.reshape(-1, sizes.dim))
        grads["token_embd.weight"] = said
        places = np.zeros_like(w["position_embd.weight"])
        places[:ids.shape[1]] = dx.sum(0)
        grads["position_embd.weight"] = places
        return dx

    return x @ table.T, back


def loss_and_gradients(w: Weights, sizes: Sizes, ids: Ids, following: Ids) -> tuple[float, Weights]:
    """How surprised the model is by what follows (in nats a token), and how that changes with every weight."""
    logits, back = forward(w, sizes, ids)
    shares = softmax(logits)
    texts, places = np.indices(ids.shape)
    loss = -float(np.log(shares[texts, places, following]).mean())
    shares[texts, places, following] -= 1  # what is said less what was to be said: the gradient of the loss
    grads: Weights = {}
    back(shares / ids.size, grads)
    return loss, grads


def train(w: Weights, sizes: Sizes, tokens: Ids, n_steps: int, *, batch: int = 8, rate: float = 3e-3,
          seed: int = 1) -> float:
    """Change the weights in place by Adam (Kingma and Ba 2014), in steps that get smaller; the last loss."""
    rng, width = np.random.default_rng(seed), min(sizes.context, len(tokens) - 1)
    means, squares = ({name: np.zeros_like(values) for name, values in w.items()} for _ in range(2))
    loss = 0.0
    for step in range(1, n_steps + 1):
        loss, grads = loss_and_gradients(w, sizes, *some_windows(tokens, rng, batch, width))
        size = rate * min(step / 50, 1 - (step - 1) / n_steps)
        for name, gradient in grads.items():
            means[name] += 0.1 * (gradient - means[name])
            squares[name] += 0.01 * (gradient * gradient - squares[name])
            mean, square = means[name] / (1 - 0.9 ** step), squares[name] / (1 - 0.99 ** step)
            w[name] -= size * mean / (np.sqrt(square) + 1e-8)
        if step % 100 == 0 or step == 1:
            print(f"step {step:5}  loss {loss:.3f}", file=sys.stderr)
    return loss


# The file.

def vocabulary() -> list[str]:
    """The bytes as GPT-2's vocabularies spell them, so that none is a space or a control character; then the end.

    And two bytes that are one token, since the list of such pairs may not be empty: those that no text in UTF-8 has.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)] + ["<|endoftext|>", "ÿÿ"]


def write(path: Path, w: Weights, sizes: Sizes, name: str = "nano GPT") -> None:
    """The model as a file of the architecture `gpt2`, which barelm and llama.cpp read."""
    with written_beside(path) as beside:
        writer = gguf.GGUFWriter(beside, "gpt2")
        writer.add_name(name)
        writer.add_context_length(sizes.context)
        writer.add_embedding_length(sizes.dim)
        writer.add_feed_forward_length(4 * sizes.dim)
        writer.add_block_count(sizes.n_layers)
        writer.add_head_count(sizes.n_heads)
        writer.add_layer_norm_eps(EPSILON)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(vocabulary())
        writer.add_token_types([gguf.TokenType.NORMAL] * END + [gguf.TokenType.CONTROL, gguf.TokenType.NORMAL])
        writer.add_token_merges(["ÿ ÿ"])
        writer.add_bos_token_id(END)
        writer.add_eos_token_id(END)
        for tensor, values in w.items():
            writer.add_tensor(tensor, values.astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description="Train a small GPT-2 on a text, and write it as a .gguf.")
    parser.add_argument("out", type=Path, nargs="?", default=Path("nano.gguf"))
    parser.add_argument("--text", type=Path, default=RHYMES, help="paragraphs with empty lines between")
    parser.add_argument("--steps", type=int, default=1000)
    chosen = parser.parse_args()
    sizes, tokens = Sizes(), tokens_of(chosen.text.read_bytes())
    w = new_weights(sizes, np.random.default_rng(0))
    n_weights = sum(values.size for values in w.values())
    print(f"{len(tokens):,} tokens of text, {n_weights:,} weights", file=sys.stderr)
    train(w, sizes, tokens, chosen.steps)
    write(chosen.out, w, sizes)
    print(f"{chosen.out} is written: now `barelm run {chosen.out} \"Once\"`", file=sys.stderr)


if __name__ == "__main__":
    main()
