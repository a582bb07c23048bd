"""GGUF containers: against the official library, split over files, and models as checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from barelm.checkpoint.checkpoint import Shape
from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.checkpoint.gguf import read_container
from barelm.checkpoint.gguf_model import read_gguf, read_gguf_header
from barelm.checkpoint.read import read_checkpoint, read_header, tokenizer_beside
from barelm.checkpoint.sources.model_names import resolve_model
from barelm.errors import BarelmError
from barelm.pack.writer import rope_table
from tests.gguf_files import (
    F32,
    STRING,
    U32,
    SmallLlama,
    Stored,
    Value,
    gguf_bytes,
    smollm2,
    write_small_gguf,
    write_split,
)
from tests.models import same_weights, tensor_sizes


def check_against_official(path: Path) -> None:
    """The same metadata and the same bytes of every tensor as the official reader."""
    official, ours = gguf.GGUFReader(path), read_container(path)
    fields = {key: entry for key, entry in official.fields.items() if not key.startswith("GGUF.")}
    assert list(ours.metadata) == list(fields)
    for key, entry in fields.items():
        if entry.types[0] == gguf.GGUFValueType.ARRAY:
            parts = [entry.parts[i] for i in entry.data]
            found = ours.metadata[key]
            if isinstance(found, tuple):
                assert found == tuple(bytes(part) for part in parts)
            else:
                assert isinstance(found, np.ndarray) and np.array_equal(found, np.concatenate(parts))
        else:
            assert ours.metadata[key] == entry.contents()
    assert set(ours.tensors) == {tensor.name for tensor in official.tensors}
    for tensor in official.tensors:
        mine = ours.tensors[tensor.name]
        assert (mine.form.name, mine.sizes) == (tensor.tensor_type.name, tuple(tensor.shape.tolist()))
        assert mine.data.tobytes() == tensor.data.tobytes()


@pytest.mark.parametrize("vocab", ["bytelevel", "sentencepiece"])
def test_a_small_model_is_read_as_the_official_library_reads_it(tmp_path: Path, vocab: str) -> None:
    """Metadata of every kind, tensors of several types."""
    check_against_official(write_small_gguf(tmp_path / "a.gguf", vocab=vocab, types={"ffn_down.weight": "Q4_1"}))


def test_a_file_of_the_official_writer_is_read(tmp_path: Path) -> None:
    """Every scalar type, arrays, another alignment."""
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_custom_alignment(64)
    for kind, value in {"uint8": 200, "int8": -3, "uint16": 60000, "int16": -9, "uint32": 1 << 31, "int32": -7,
                        "uint64": 1 << 63, "int64": -1 << 62, "float32": 0.5, "float64": 0.1, "bool": True,
                        "string": "žluť", "array": [1, 2, 3]}.items():
        getattr(writer, f"add_{kind}")(f"a.{kind}", value)
    writer.add_array("a.flags", [True, False])
    writer.add_array("a.words", ["x", "", "yy"])
    writer.add_tensor("one", np.arange(5, dtype=np.float32))
    writer.add_tensor("two", np.arange(6, dtype=np.float16).reshape(2, 3))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    check_against_official(tmp_path / "a.gguf")


@pytest.mark.parametrize("form", BY_NAME)
def test_every_tensor_type_comes_as_stored_and_dequantizes(tmp_path: Path, form: str) -> None:
    """Bytes by row, the encoding named, float32 by the official formula."""
    path = write_small_gguf(tmp_path / "a.gguf", type=form, tied=False)
    checkpoint = read_gguf(path)
    official = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    sizes = tensor_sizes(checkpoint.shape, tied=False)
    assert set(sizes) == set(checkpoint.tensors)
    for key, tensor in checkpoint.tensors.items():
        assert (tensor.rows, tensor.cols) == sizes[key]
        assert tensor.encoding == ("F32" if key.endswith("norm") else form)
        assert tensor.data.shape == (tensor.rows, BY_NAME[tensor.encoding].row_bytes(tensor.cols))
    for ours, theirs in (("layers.1.w2", "blk.1.ffn_down"), ("layers.0.wk", "blk.0.attn_k"), ("classifier", "output")):
        expected = gguf.quants.dequantize(official[f"{theirs}.weight"].data, official[f"{theirs}.weight"].tensor_type)
        np.testing.assert_array_equal(checkpoint.tensors[ours].float32(), expected)
        np.testing.assert_array_equal(checkpoint.tensors[ours].float32(3, 7), expected[3:7])
        assert 0.3 < expected.std() * checkpoint.tensors[ours].cols ** 0.5 < 3


def test_shape_and_header_say_what_the_metadata_says(tmp_path: Path) -> None:
    """Sizes under their usual names; a head need not be dim / n_heads wide; a huge context is kept."""
    path = write_small_gguf(tmp_path / "a.gguf", head_dim=24, seq_len=1 << 30, tied=False,
                            metadata={"llama.rope.freq_base": Value(F32, 5e5)})
    checkpoint, header = read_gguf(path), read_gguf_header(path)
    assert checkpoint.shape == Shape(64, 96, 2, 4, 2, len(checkpoint.vocab), 1 << 30, 24, 5e5, float(np.float32(1e-5)))
    assert (checkpoint.name, checkpoint.source, checkpoint.tied) == ("small 1", str(path), False)
    assert (header.shape, header.tied, header.format) == (checkpoint.shape, False, "GGUF model, version 3")
    assert header.n_parameters == sum(tensor.rows * tensor.cols for tensor in checkpoint.tensors.values())


def test_what_is_absent_has_its_usual_value(tmp_path: Path) -> None:
    """Key heads as many as query heads, heads of dim / n_heads, RoPE base 10000, the file's name."""
    model = SmallLlama(n_kv_heads=4)
    dropped = ("general.name", "llama.attention.head_count_kv", "llama.attention.key_length", "llama.rope.freq_base",
               "llama.attention.value_length", "llama.rope.dimension_count")
    path = tmp_path / "plain.gguf"
    path.write_bytes(gguf_bytes({key: value for key, value in model.all_metadata().items() if key not in dropped},
                                model.tensors(), version=2))
    checkpoint = read_gguf(path)
    assert checkpoint.name == "plain"
    assert (checkpoint.shape.n_kv_heads, checkpoint.shape.head_dim, checkpoint.shape.rope_theta) == (4, 16, 10000.0)


def test_a_split_model_is_the_whole_model(tmp_path: Path) -> None:
    """Whichever part is named."""
    model = SmallLlama(types={"ffn_up.weight": "Q8_0"})
    whole = read_gguf(model.write(tmp_path / "whole.gguf"))
    parts = write_split(tmp_path, model, 3)
    assert all(same_weights(read_gguf(part), whole) for part in parts)
    assert read_gguf(parts[2]).vocab == whole.vocab


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """A missing part, one in another's place, one of another model, one under a name of its own."""
    parts = write_split(tmp_path, SmallLlama(), 3)
    first, second, third = (part.read_bytes() for part in parts)
    alone = tmp_path / "alone.gguf"
    alone.write_bytes(first)
    with pytest.raises(BarelmError, match="one of 3 parts"):
        read_gguf(alone)
    parts[1].unlink()
    with pytest.raises(BarelmError, match="needs part-00002-of-00003.gguf beside it"):
        read_gguf(parts[0])
    parts[1].write_bytes(third)
    with pytest.raises(BarelmError, match="is not part 2 of 3"):
        read_gguf(parts[0])
    parts[1].write_bytes(second)
    write_split(tmp_path, replace(SmallLlama(), n_layers=1), 3, "other")[1].rename(parts[1])
    with pytest.raises(BarelmError, match="repeats the tensor|hold .* tensors"):
        read_gguf(parts[0])


def test_rope_scaling_reaches_the_table(tmp_path: Path) -> None:
    """Linear scaling divides positions, factors divide the frequency of each pair."""
    plain = read_gguf(write_small_gguf(tmp_path / "a.gguf")).shape
    scaled = read_gguf(write_small_gguf(tmp_path / "b.gguf", metadata={
        "llama.rope.scaling.type": Value(STRING, "linear"), "llama.rope.scaling.factor": Value(F32, 4.0)})).shape
    assert scaled == replace(plain, rope_scale=4.0)
    np.testing.assert_array_equal(rope_table(scaled)[4::4], rope_table(plain)[1:32])
    factors = tuple(float(2**i) for i in range(8))
    table = rope_table(replace(plain, rope_factors=factors))
    for pair, factor in enumerate(factors):
        np.testing.assert_array_equal(table[:, pair], rope_table(replace(plain, rope_scale=factor))[:, pair])


def test_llama3_factors_are_read(tmp_path: Path) -> None:
    """The tensor `rope_freqs.weight`; factors that are no numbers are refused."""
    model, path = SmallLlama(), tmp_path / "a.gguf"
    for values, sound in (([1, 1, 1, 1, 2, 4, 8, 8], True), ([0] * 8, False), ([np.nan] * 8, False), ([1] * 4, False)):
        stored = Stored("rope_freqs.weight", 0, (len(values),), np.array(values, np.float32).tobytes())
        path.write_bytes(gguf_bytes(model.all_metadata(), [stored, *model.tensors()]))
        if sound:
            assert read_gguf(path).shape.rope_factors == tuple(map(float, values))
        else:
            with pytest.raises(BarelmError, match="rope_freqs"):
                read_gguf(path)


def test_smollm2_is_what_the_official_library_says() -> None:
    """The real file: its shape, and its tensors' bytes where ours says they are."""
    path = smollm2()
    checkpoint = read_gguf(path)
    s = checkpoint.shape
    assert (s.dim, s.hidden_dim, s.n_layers, s.n_heads, s.n_kv_heads, s.head_dim) == (576, 1536, 30, 9, 3, 64)
    assert (s.vocab_size, s.seq_len, s.rope_theta, checkpoint.tied) == (49152, 8192, 100000.0, True)
    assert checkpoint.tensors["token_embedding"].encoding == "Q8_0"
    assert checkpoint.tensors["layers.7.w2"].encoding == "Q4_1"
    raw = np.memmap(path, np.uint8, "r")[31868992:][:576 * 960].reshape(576, 960)  # blk.0.ffn_down
    expected = gguf.quants.dequantize(np.asarray(raw), gguf.GGMLQuantizationType.Q4_1)
    np.testing.assert_array_equal(checkpoint.tensors["layers.0.w2"].float32(), expected)


def test_any_reader_takes_a_gguf_model_by_its_first_bytes(tmp_path: Path) -> None:
    """Whatever its name; it has its own tokenizer, so one more is refused."""
    path = write_small_gguf(tmp_path / "model.bin")
    checkpoint = read_checkpoint(path)
    assert same_weights(checkpoint, read_gguf(path)) and checkpoint.vocab == read_gguf(path).vocab
    assert read_header(path) == read_gguf_header(path)
    assert tokenizer_beside(path) is None and resolve_model(str(path)) == (path, None)
    with pytest.raises(BarelmError, match="has a tokenizer of its own"):
        read_checkpoint(path, path)


def test_a_newer_key_does_no_harm(tmp_path: Path) -> None:
    """What barelm has never heard of in the metadata is none of its business."""
    read_gguf(write_small_gguf(tmp_path / "a.gguf", metadata={"quantize.imatrix.entries": Value(U32, 7)}))
