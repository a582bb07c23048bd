"""The default model in other encodings, by the official `gguf` library: what the encodings cost, on the same weights.

    python bench/requantize.py Q8_0        prints where it is

The matrices of the layers are dequantized and quantized again; the embedding, Q8_0 in the original, and the norms
stay as they are.  Answers get a little worse each time, speed does not depend on it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
from gguf import quants

from barelm.checkpoint.sources.default_model import default_model
from barelm.host_files import cache_folder, written_beside

FILE_TYPES = {"Q4_0": 2, "Q8_0": 7, "Q5_0": 8}
"""Of llama.cpp's `llama_ftype`."""

ORIGINAL = "Q4_1"


def model_as(kind: str) -> Path:
    """The default model in the encoding `kind`, made where it is not in the cache yet."""
    source = default_model()
    if kind == ORIGINAL:
        return source
    target = cache_folder("bench") / source.name.replace(ORIGINAL, kind)
    if not target.is_file():
        with written_beside(target) as beside:
            _requantize(source, beside, kind)
    return target


def _requantize(source: Path, target: Path, kind: str) -> None:
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    for name, value in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        item = value.types[-1] if value.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value.contents(), value.types[0], sub_type=item)
    writer.add_file_type(FILE_TYPES[kind])
    for tensor in reader.tensors:
        data, encoding = np.asarray(tensor.data), tensor.tensor_type
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2:
            encoding = gguf.GGMLQuantizationType[kind]
            data = quants.quantize(quants.dequantize(data, tensor.tensor_type), encoding)
        writer.add_tensor(tensor.name, data, raw_dtype=encoding)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Make one."""
    parser = argparse.ArgumentParser(description="Write the default model in another encoding.")
    parser.add_argument("kind", choices=[ORIGINAL, *FILE_TYPES])
    path = model_as(parser.parse_args().kind)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
