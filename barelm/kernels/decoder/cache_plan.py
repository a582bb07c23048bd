"""Where the key-value cache of a sequence lies: keys of all layers and key heads, values, and the scales of both.

A cache is for a number of positions.  Layers with a window keep fewer, in a ring (`kernels.decoder.cache`).
"""

from typing import NamedTuple

from barelm.contract import layout
from barelm.dialect.memory import copy_bytes, f32_array, memory, u8_array
from barelm.dialect.types import I32, padded
from barelm.kernels.decoder.cache import HeadCache, item_bytes
from barelm.kernels.decoder.model import Config


class CachePlan(NamedTuple):
    """Where the parts begin, in bytes, and where the last one ends."""

    keys: int
    values: int
    key_scales: int  # of int8, one a position
    value_scales: int
    end: int


def cache_plan(c: Config, positions: int) -> CachePlan:
    """The parts of a cache for so many positions."""
    kept = c.n_kv_heads * ((c.n_layers - c.n_windowed) * padded(positions) + c.n_windowed * c.window_room)
    scales = 4 * kept if c.kv_kind == layout.KV_Q8 else 0
    size = item_bytes(c.kv_kind)
    values = kept * size * c.head_dim
    key_scales = values + kept * size * padded(c.head_dim)
    return CachePlan(0, values, key_scales, key_scales + scales, key_scales + 2 * scales)


def cache_bytes(c: Config, positions: int) -> int:
    """The size of a cache for so many positions."""
    return cache_plan(c, positions).end


def room_of(c: Config, layers: I32, positions: int, l: int, g: int) -> tuple[int, int]:
    """How many positions key head g of a layer keeps, and how many all heads before it do."""
    whole = padded(positions)
    room = whole
    if c.window_room == 0:
        return room, (l * c.n_kv_heads + g) * room
    if layers[l * layout.LAYER_WORDS + layout.WINDOW] > 0:
        room = c.window_room
    before = layers[l * layout.LAYER_WORDS + layout.WINDOWED_BEFORE]
    return room, c.n_kv_heads * ((l - before) * whole + before * c.window_room) + g * room


def head_cache(c: Config, layers: I32, cache: int, positions: int, l: int, g: int) -> HeadCache:
    """What key head g of a layer remembers, of the cache at an address."""
    room, at = room_of(c, layers, positions, l, g)
    p = cache_plan(c, positions)
    block = memory(cache, p.end)
    size = item_bytes(c.kv_kind)
    k, v = size * c.head_dim, size * padded(c.head_dim)
    scales = room if c.kv_kind == layout.KV_Q8 else 0
    first = 4 * min(at, scales * at)
    return HeadCache(c.kv_kind, room, u8_array(block, p.keys + at * k, room * k),
                     u8_array(block, p.values + at * v, room * v), f32_array(block, p.key_scales + first, scales),
                     f32_array(block, p.value_scales + first, scales))


def part_of_cache(c: Config, layers: I32, positions: int, number: int, head: int, n: int) -> tuple[int, int]:
    """Keys, values, the scales of keys, those of values (number 0 to 3) of a key head, counted through all layers.

    Where they begin in a cache, and how many bytes of it hold the first n positions, or what is kept of them.
    """
    p = cache_plan(c, positions)
    room, before = room_of(c, layers, positions, head // c.n_kv_heads, head % c.n_kv_heads)
    kept = min(padded(n), room)
    size = item_bytes(c.kv_kind)
    if number == 0:
        return p.keys + before * size * c.head_dim, kept * size * c.head_dim
    if number == 1:
        return p.values + before * size * padded(c.head_dim), kept * size * padded(c.head_dim)
    if p.end == p.key_scales:
        return p.end, 0
    return (p.key_scales if number == 2 else p.value_scales) + 4 * before, 4 * kept


def copy_cache(c: Config, layers: I32, target: int, positions: int, source: int, theirs: int, n: int) -> None:
    """Take over what a cache at address `source`, for `theirs` positions, holds of the first n; of rings all."""
    for head in range(c.n_layers * c.n_kv_heads):
        windowed = room_of(c, layers, theirs, head // c.n_kv_heads, 0)[0] < padded(theirs)
        for number in range(4):
            at, n_bytes = part_of_cache(c, layers, theirs, number, head, theirs if windowed else n)
            to = part_of_cache(c, layers, positions, number, head, positions)[0]
            copy_bytes(target + to, source + at, n_bytes)
