"""The models known by name: a row each, with the file on the Hugging Face Hub that is meant by it.

Sizes are about those of the files, in MB; what counts when a file is fetched is what the hub says of it.  A name of
Ollama's is there where its file is the same model in a form that is read here.
"""

from dataclasses import dataclass

from barelm.checkpoint.architectures import FAMILIES
from barelm.checkpoint.sources import default_model

APACHE, MIT = "Apache-2.0", "MIT"
LLAMA, GEMMA = "Llama 3.2", "Gemma"
LLAMA2_TOKENIZER = "tokenizer.bin"  # that of Llama 2 in llama2.c's form; it is not in the repository of the models


@dataclass(frozen=True)
class KnownModel:
    """A model by its name.  `kv` counts the keys and values of a token in all layers."""

    name: str
    architecture: str  # as GGUF files call it
    megabytes: float
    kv: int
    licence: str
    repository: str
    file: str
    ollama: str = ""
    tokenizer: str = ""  # a file of the repository, for llama2.c checkpoints
    revision: str = "main"

    def memory_bytes(self, context: int) -> int:
        """About what it takes with so many tokens of context: weights, keys and values in f16, and some work space."""
        return int(self.megabytes * 1.02e6) + 2 * self.kv * context + (8 << 20)


_M = KnownModel
ROWS = (
    _M(default_model.NAME, "llama", default_model.BYTES / 1e6, 11_520, APACHE, default_model.REPOSITORY,
       default_model.FILE, revision=default_model.REVISION),
    _M("smollm2-360m", "llama", 271, 20_480, APACHE, "bartowski/SmolLM2-360M-Instruct-GGUF",
       "SmolLM2-360M-Instruct-Q4_K_M.gguf", "smollm2:360m"),
    _M("smollm2-1.7b", "llama", 1056, 98_304, APACHE, "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
       "smollm2-1.7b-instruct-q4_k_m.gguf", "smollm2:1.7b"),
    _M("smollm3-3b", "smollm3", 1915, 36_864, APACHE, "ggml-org/SmolLM3-3B-GGUF", "SmolLM3-Q4_K_M.gguf"),
    _M("qwen3-0.6b", "qwen3", 397, 57_344, APACHE, "unsloth/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q4_K_M.gguf", "qwen3:0.6b"),
    _M("qwen3-1.7b", "qwen3", 1107, 57_344, APACHE, "unsloth/Qwen3-1.7B-GGUF", "Qwen3-1.7B-Q4_K_M.gguf", "qwen3:1.7b"),
    _M("qwen3-4b", "qwen3", 2497, 73_728, APACHE, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf"),
    _M("qwen3-4b-2507", "qwen3", 2497, 73_728, APACHE, "unsloth/Qwen3-4B-Instruct-2507-GGUF",
       "Qwen3-4B-Instruct-2507-Q4_K_M.gguf", "qwen3:4b-instruct-2507-q4_K_M"),
    _M("qwen3-30b-a3b", "qwen3moe", 18_557, 49_152, APACHE, "unsloth/Qwen3-30B-A3B-Instruct-2507-GGUF",
       "Qwen3-30B-A3B-Instruct-2507-Q4_K_M.gguf", "qwen3:30b-a3b-instruct-2507-q4_K_M"),
    _M("qwen2.5-0.5b", "qwen2", 491, 6_144, APACHE, "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
       "qwen2.5-0.5b-instruct-q4_k_m.gguf", "qwen2.5:0.5b"),
    _M("qwen2.5-1.5b", "qwen2", 1117, 14_336, APACHE, "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
       "qwen2.5-1.5b-instruct-q4_k_m.gguf", "qwen2.5:1.5b"),
    _M("qwen2.5-coder-0.5b", "qwen2", 491, 6_144, APACHE, "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
       "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-coder:0.5b"),
    _M("deepseek-r1-1.5b", "qwen2", 1117, 14_336, MIT, "bartowski/DeepSeek-R1-Distill-Qwen-1.5B-GGUF",
       "DeepSeek-R1-Distill-Qwen-1.5B-Q4_K_M.gguf", "deepseek-r1:1.5b"),
    _M("llama-3.2-1b", "llama", 808, 16_384, LLAMA, "bartowski/Llama-3.2-1B-Instruct-GGUF",
       "Llama-3.2-1B-Instruct-Q4_K_M.gguf", "llama3.2:1b"),
    _M("llama-3.2-3b", "llama", 2019, 57_344, LLAMA, "bartowski/Llama-3.2-3B-Instruct-GGUF",
       "Llama-3.2-3B-Instruct-Q4_K_M.gguf", "llama3.2:3b"),
    _M("tinyllama", "llama", 669, 11_264, APACHE, "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF",
       "tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", "tinyllama:latest"),
    _M("gemma-3-270m", "gemma3", 253, 9_216, GEMMA, "unsloth/gemma-3-270m-it-GGUF", "gemma-3-270m-it-Q4_K_M.gguf",
       "gemma3:270m"),
    _M("gemma-3-1b", "gemma3", 806, 13_312, GEMMA, "ggml-org/gemma-3-1b-it-GGUF", "gemma-3-1b-it-Q4_K_M.gguf",
       "gemma3:1b"),
    _M("gemma-3-4b", "gemma3", 2490, 69_632, GEMMA, "ggml-org/gemma-3-4b-it-GGUF", "gemma-3-4b-it-Q4_K_M.gguf"),
    _M("granite-3.3-2b", "granite", 1545, 40_960, APACHE, "ibm-granite/granite-3.3-2b-instruct-GGUF",
       "granite-3.3-2b-instruct-Q4_K_M.gguf", "granite3.3:2b"),
    _M("granite-4.0-micro", "granite", 2100, 40_960, APACHE, "ibm-granite/granite-4.0-micro-GGUF",
       "granite-4.0-micro-Q4_K_M.gguf", "granite4:micro"),
    _M("phi-3.5-mini", "phi3", 2393, 196_608, MIT, "bartowski/Phi-3.5-mini-instruct-GGUF",
       "Phi-3.5-mini-instruct-Q4_K_M.gguf", "phi3.5:latest"),
    _M("phi-4-mini", "phi3", 2492, 65_536, MIT, "unsloth/Phi-4-mini-instruct-GGUF", "Phi-4-mini-instruct-Q4_K_M.gguf",
       "phi4-mini:latest"),
    _M("olmo-2-1b", "olmo2", 936, 65_536, APACHE, "allenai/OLMo-2-0425-1B-Instruct-GGUF",
       "OLMo-2-0425-1B-Instruct-Q4_K_M.gguf"),
    _M("mistral-7b", "llama", 4373, 65_536, APACHE, "bartowski/Mistral-7B-Instruct-v0.3-GGUF",
       "Mistral-7B-Instruct-v0.3-Q4_K_M.gguf", "mistral:7b"),
    _M("ministral-8b", "llama", 4910, 73_728, "Mistral Research", "bartowski/Ministral-8B-Instruct-2410-GGUF",
       "Ministral-8B-Instruct-2410-Q4_K_M.gguf"),
    _M("ministral-3-3b", "mistral3", 2147, 53_248, APACHE, "mistralai/Ministral-3-3B-Instruct-2512-GGUF",
       "Ministral-3-3B-Instruct-2512-Q4_K_M.gguf"),
    _M("gpt-oss-20b", "gpt-oss", 12_110, 24_576, APACHE, "ggml-org/gpt-oss-20b-GGUF", "gpt-oss-20b-mxfp4.gguf"),
    _M("stories260K", "llama", 1.06, 320, MIT, "karpathy/tinyllamas", "stories260K/stories260K.bin",
       tokenizer="stories260K/tok512.bin"),
    *(_M(name, "llama", size, kv, MIT, "karpathy/tinyllamas", f"{name}.bin", tokenizer=LLAMA2_TOKENIZER)
      for name, size, kv in (("stories15M", 60.8, 3_456), ("stories42M", 167, 8_192), ("stories110M", 438, 18_432))),
)

CATALOGUE = {row.name: row for row in ROWS if row.architecture in FAMILIES}
"""The rows whose architecture is one of those that are read here, by name."""
