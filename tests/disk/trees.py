"""Hypothesis strategies for what goes into an image: names, sizes, trees of files."""

from __future__ import annotations

from hypothesis import strategies as st

from barelm.disk.names import fold, name_fault

_FORBIDDEN = '"*/:<>?\\|\x7f'

NAMES: st.SearchStrategy[str] = st.one_of(
    st.text("abAB12._-~ ", min_size=1, max_size=14),
    st.from_regex(r"[A-Za-z0-9_]{1,8}(\.[A-Za-z0-9]{1,3})?", fullmatch=True),
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters=_FORBIDDEN),
            min_size=1, max_size=40),
    st.text("xyz é語😀", min_size=100, max_size=255),
).filter(lambda name: name_fault(name) is None)

# Around the borders of sectors, pages and clusters; and anything.
SIZES: st.SearchStrategy[int] = st.one_of(
    st.builds(lambda unit, n, off: max(unit * n + off, 0),
              st.sampled_from([512, 4096, 32768]), st.integers(0, 3), st.integers(-1, 1)),
    st.integers(0, 200_000),
)


def _is_tree(paths: list[tuple[str, ...]]) -> bool:
    """Whether no path is spelt twice in different ways, and none is both a file and a directory."""
    files = {tuple(map(fold, path)) for path in paths}
    spelt: dict[tuple[str, ...], tuple[str, ...]] = {}
    for path in paths:
        for depth in range(1, len(path) + 1):
            head = tuple(map(fold, path[:depth]))
            if spelt.setdefault(head, path[:depth]) != path[:depth] or depth < len(path) and head in files:
                return False
    return len(files) == len(paths)


def trees(names: st.SearchStrategy[str] = NAMES) -> st.SearchStrategy[dict[str, bytes]]:
    """Files by their path, of distinct content, in up to three levels of directories."""
    @st.composite
    def draw_tree(draw: st.DrawFn) -> dict[str, bytes]:
        pool = draw(st.lists(names, min_size=1, max_size=6, unique_by=fold))
        path = st.lists(st.sampled_from(pool), min_size=1, max_size=3).map(tuple)
        paths = draw(st.lists(path, max_size=8).filter(_is_tree))
        sizes = draw(st.lists(SIZES, min_size=len(paths), max_size=len(paths)))
        return {"/".join(path): _content(i, size) for i, (path, size) in enumerate(zip(paths, sizes))}

    return draw_tree()


def _content(seed: int, size: int) -> bytes:
    """Bytes in which a misplaced page shows."""
    block = b"".join(((seed << 20) + i).to_bytes(8, "little") for i in range(-(-size // 64)))
    return b"".join(block[i:i + 8] * 8 for i in range(0, len(block), 8))[:size]
