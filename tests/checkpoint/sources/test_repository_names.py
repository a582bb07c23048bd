"""`hf:` names: what they mean, what they refuse, and which file is the best."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.checkpoint.sources.repository_names import (
    BEST,
    RepositoryName,
    choose_file,
    encoding_of,
    is_safe,
    parse_repository_name,
    parts_of,
)
from barelm.errors import BarelmError

ANY = RepositoryName("o/r", "")


@pytest.mark.parametrize(("name", "repository", "wanted"), [
    ("hf:owner/Model-GGUF", "owner/Model-GGUF", ""), ("hf:o/r:Q8_0", "o/r", "Q8_0"),
    ("hf:o/r.v1_2:sub/a-b.gguf", "o/r.v1_2", "sub/a-b.gguf")])
def test_a_name_has_a_repository_and_perhaps_a_file(name: str, repository: str, wanted: str) -> None:
    assert parse_repository_name(name) == RepositoryName(repository, wanted)


@pytest.mark.parametrize("name", [
    "hf:", "hf:owner", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/.b", "hf:a--b/c", "hf:a/b c", "hf:/a/b", "hf:a\\b/c",
    "hf:a/b\n", "hf:a/b:", "hf:a/b:../c.gguf", "hf:a/b:/etc/passwd", "hf:a/b:c/../d.gguf", "hf:a/b:c\\d.gguf",
    "hf:a/b:C:x.gguf", "hf:a/b:c//d.gguf", "hf:a/b:\0.gguf", "hf:a/b:.gguf", f"hf:{'a' * 99}/b",
    "hf:a/b:" + "c/" * 300])
def test_what_is_no_name_or_tries_to_be_a_path_is_refused(name: str) -> None:
    with pytest.raises(BarelmError, match=r"names no repository|cannot be the name of a file"):
        parse_repository_name(name)


@given(st.text(max_size=30) | st.text("./\\:abc", max_size=12))
def test_a_safe_name_stays_below_its_folder_on_any_system(path: str) -> None:
    if is_safe(path):
        for kind in (PurePosixPath, PureWindowsPath):
            inside = kind(path)
            assert not inside.is_absolute() and not inside.drive and ".." not in inside.parts


@pytest.mark.parametrize(("file", "encoding"), [
    ("Qwen3-0.6B-Q4_K_M.gguf", "Q4_K_M"), ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
    ("tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", "Q4_K_M"), ("Model-UD-Q4_K_XL.gguf", "Q4_K_XL"), ("m-IQ4_NL.gguf",
     "IQ4_NL"),
    ("BF16/m-BF16-00001-of-00002.gguf", "BF16"), ("gpt-oss-20b-mxfp4.gguf", "MXFP4"), ("m-Q8_0.gguf", "Q8_0"),
    ("Q8_0/model.gguf", ""), ("m-f16.gguf", "F16"), ("SEQ4_0.gguf", ""), ("m.Q2_K.gguf", "Q2_K")])
def test_a_files_name_tells_its_encoding(file: str, encoding: str) -> None:
    assert encoding_of(file) == encoding


def test_parts_are_one_model() -> None:
    assert parts_of("a/m-00001-of-00002.gguf") == ["a/m-00001-of-00002.gguf", "a/m-00002-of-00002.gguf"]
    assert parts_of("m.gguf") == ["m.gguf"]


@given(st.lists(st.sampled_from(BEST), min_size=1, unique=True), st.randoms())
def test_the_best_encoding_wins_in_any_order(encodings: list[str], random: Random) -> None:
    files = [f"m-{encoding}.gguf" for encoding in encodings]
    files += ["README.md", "mmproj-m-Q4_K_M.gguf", "m-imatrix.gguf", "m-IQ1_S.gguf", ".x-Q4_K_M.gguf"]
    random.shuffle(files)
    assert choose_file(ANY, files) == f"m-{min(encodings, key=BEST.index)}.gguf"


def test_a_split_model_is_chosen_by_its_first_part_and_whole() -> None:
    files = [f"Q4_K_M/m-Q4_K_M-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    assert choose_file(ANY, ["m-Q8_0.gguf", *files]) == files[0]
    with pytest.raises(BarelmError, match=f"o/r lacks {files[1]}"):
        choose_file(ANY, [files[0], files[2]])


def test_a_file_or_an_encoding_may_be_named() -> None:
    files = ["m-Q4_K_M.gguf", "m-Q8_0.gguf", "x/n-Q8_0.gguf", "m-IQ1_S.gguf"]
    for wanted, file in (("M-q8_0.gguf", files[1]), ("n-Q8_0.gguf", files[2]), ("x/n-Q8_0.gguf", files[2]),
                         ("m-iq1_s.gguf", files[3]), ("q4_k_m", files[0])):
        assert choose_file(RepositoryName("o/r", wanted), files) == file
    with pytest.raises(BarelmError, match="2 files of o/r fit") as error:
        choose_file(RepositoryName("o/r", "Q8_0"), files)
    assert "m-Q8_0.gguf, x/n-Q8_0.gguf" in error.value.hint and "Q4_K_M" not in error.value.hint


@pytest.mark.parametrize(("wanted", "files", "says", "hint"), [
    ("", ["README.md", "model.safetensors"], "has no GGUF model", "-GGUF"),
    ("", ["a.gguf", "b.gguf"], "no file of an encoding that is known", "a.gguf, b.gguf"),
    ("Q8_0", ["m-Q4_0.gguf"], "has no Q8_0", "hf:o/r:FILE with m-Q4_0.gguf"),
    ("x.gguf", [f"m{number:02}-Q4_0.gguf" for number in range(20)], "has no x.gguf", "m11-Q4_0.gguf and 8 more")])
def test_where_none_fits_what_there_is_is_listed(wanted: str, files: list[str], says: str, hint: str) -> None:
    with pytest.raises(BarelmError, match=says) as error:
        choose_file(RepositoryName("o/r", wanted), files)
    assert hint in error.value.hint


def test_a_single_file_needs_no_encoding() -> None:
    assert choose_file(ANY, ["model.gguf", "README.md"]) == "model.gguf"
