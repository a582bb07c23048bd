"""The vocabulary in a GGUF model's metadata: byte-level BPE ("gpt2") or SentencePiece ("llama").

What a careless file leaves out or calls wrong is put right here, as llama.cpp does it: control tokens and bytes that
carry the type of ordinary tokens, the tokens that end an answer, the rule for words.
"""

import re

import numpy as np

from barelm.checkpoint.checkpoint import BOS_ID, EOS_ID, Vocab
from barelm.checkpoint.gguf_metadata import Metadata

# What `tokenizer.ggml.token_type` may say of a token.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPECIAL = (UNKNOWN, CONTROL, USER_DEFINED)
SILENT = (UNKNOWN, CONTROL, UNUSED)

BYTE_TOKEN = re.compile(rb"<0x([0-9A-Fa-f]{2})>")
LONGEST_TOKEN = 4096
"""In bytes; the longest of known vocabularies are some hundreds, mostly spaces."""

_NAMES = {
    "gpt-2": "gpt-2 phi-2 gigachat a.x-4.0 mellum exaone4 mpt olmo jais trillion granite-docling",
    "smollm": "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
    "llama-bpe": "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2",
    "dbrx": "dbrx smaug-bpe glm4 chatglm-bpe",
    "minicpm5": "minicpm5",
    "qwen2": "qwen2 deepseek-r1-qwen kormo megrez stablelm2 hunyuan solar-open grok-2 bailingmoe bailingmoe2"
             " llada-moe",
    "qwen35": "qwen35",
    "seed-coder": "seed-coder",
    "gpt-4o": "gpt-4o llama4 kanana2 minimax-m2",
    "tekken": "tekken",
    "deepseek-llm": "deepseek-llm",
    "deepseek-coder": "deepseek-coder",
    "deepseek-v3": "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
    "falcon": "falcon",
    "poro": "poro-chat bloom gpt3-finnish",
    "viking": "viking",
}
RULE_OF = {name: rule for rule, names in _NAMES.items() for name in names.split()}
"""Which rule of `pack.word_rules` a name of llama.cpp's stands for."""
BEGIN_WITH_BOS = ("llama-bpe", "tekken")

UNNAMED = ("", "default")
SIGNS = (
    ("llama-bpe", ("<|begin_of_text|>", "<|eot_id|>")),
    ("gpt-4o", ("<|return|>", "<|call|>")),
    ("tekken", ("[INST]", "[/INST]", "[AVAILABLE_TOOLS]")),
    ("deepseek-v3", ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cAssistant\uff5c>")),
    ("deepseek-coder", ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<|EOT|>")),
    ("deepseek-llm", ("<\uff5cbegin\u2581of\u2581sentence\uff5c>",)),
    ("falcon", (">>TITLE<<", ">>ABSTRACT<<")),
    ("smollm", ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>")),
    ("smollm", ("<repo_name>", "<jupyter_script>")),
    ("smollm", ("<reponame>", "<gh_stars>")),
    ("dbrx", ("<|im_start|>", "<|endofprompt|>")),
)
"""What a vocabulary has whose file names no rule: rules of `pack.word_rules`, and tokens that only theirs have."""
QWEN_SIGNS, QWEN_SIZE = ("<|im_start|>", "<|im_end|>", "<|endoftext|>"), 151_643
"""Qwen's control tokens are those of many; its vocabulary is as large as no other's that has them."""

STARTS = ("<|im_start|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<start_of_turn>",
          "<|start_of_role|>", "<|end_of_role|>", "<|user|>", "<|assistant|>", "<|system|>", "<|start|>", "<|message|>",
          "<|channel|>", "<|constrain|>", "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cUser\uff5c>",
          "<\uff5cAssistant\uff5c>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "<|end|>", "<end_of_turn>",
        "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|return|>", "<|call|>", "<|calls|>", "<|flush|>", "<end_of_utterance>",
        "<turn|>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|fim_pad|>", "<fim_pad>", "<|repo_name|>",
        "<reponame>", "<|file_sep|>", "[e~[")
"""Tokens that end a reply by their name, whatever the metadata says of them; llama.cpp goes by the same."""
CONTROL_BY_NAME = frozenset(name.encode() for name in STARTS + ENDS)
CONTROL_BY_PLACE, FIRST_PLACES = (b"<s>", b"</s>"), 3
"""Llama 2's, among its first tokens; elsewhere they are HTML's."""
ONLY_A_MESSAGE = (("<|return|>", "<|call|>"), ("<|calls|>", "<|flush|>"))
"""Where a vocabulary has these, its <|end|> ends one of a reply's messages, and not the reply."""

PHI3 = ("phi-3", "phi3")
KEEP_WHAT_FOLLOWS = (b"<unk>", b"<s>", b"<|endoftext|>")
"""Phi-3: white space behind its special tokens goes, but for these."""


def _gpt2_alphabet() -> dict[str, int]:
    """Which byte each character of GPT-2's vocabulary stands for: itself where it prints, else one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


ALPHABET = _gpt2_alphabet()


def read_vocab(metadata: Metadata) -> Vocab:
    """The vocabulary.  Raises BarelmError where it is damaged or of a kind that is not supported."""
    model = metadata.text("tokenizer.ggml.model")
    if model not in ("gpt2", "llama"):
        raise metadata.refused(f"has a tokenizer of the kind {model!r:.40}")
    tokens = metadata.strings("tokenizer.ggml.tokens")
    if not tokens:
        raise metadata.damaged("its vocabulary is empty")
    longest = max(map(len, tokens))
    if longest > LONGEST_TOKEN:
        raise metadata.damaged(f"a token of its vocabulary is {longest} bytes long")
    types = _token_types(metadata, tokens)
    return (_bytelevel if model == "gpt2" else _sentencepiece)(metadata, tokens, types)


def _token_types(metadata: Metadata, tokens: tuple[bytes, ...]) -> list[int]:
    """What each token is: what the file says, unless it calls ordinary what by its name can only be a control token."""
    key = "tokenizer.ggml.token_type"
    types = [NORMAL] * len(tokens)
    if key in metadata:
        stored = metadata.numbers(key, len(tokens))
        if stored.dtype.kind not in "iu":
            raise metadata.damaged(f"its {key} are no whole numbers")
        types = list(map(int, stored.tolist()))
    for i, (token, kind) in enumerate(zip(tokens, types)):
        if kind != UNUSED and (token in CONTROL_BY_NAME or (i < FIRST_PLACES and token in CONTROL_BY_PLACE)):
            types[i] = CONTROL
    return types


def _bytelevel(metadata: Metadata, tokens: tuple[bytes, ...], types: list[int]) -> Vocab:
    pretokenizer, notes = _word_rule(metadata, tokens)
    pieces = tuple(token if kind in SPECIAL else undo_alphabet(token) for token, kind in zip(tokens, types))
    ordinary = [(token, i) for i, (token, kind) in enumerate(zip(tokens, types)) if kind not in (*SPECIAL, UNUSED)]
    ids = dict(reversed(ordinary))
    bos = _token_id(metadata, "bos", len(tokens), -1)
    add_bos = metadata.flag("tokenizer.ggml.add_bos_token", pretokenizer in BEGIN_WITH_BOS)
    return Vocab(
        kind="bytelevel", pieces=pieces, outputs=_outputs(pieces, types), merges=_merges(metadata, ids),
        byte_ids=tuple(ids.get(character.encode(), -1)
                       for character, _ in sorted(ALPHABET.items(), key=lambda entry: entry[1])),
        bos_id=bos, eos_ids=_eos_ids(metadata, tokens, types, -1), add_bos=add_bos and bos >= 0,
        add_space_prefix=False, pretokenizer=pretokenizer, special=_special(tokens, types),
        in_any_text=_in_any_text(types), strips_after=_strips_after(metadata, tokens, types),
        chat_template=metadata.text("tokenizer.chat_template", ""), notes=notes)


def _word_rule(metadata: Metadata, tokens: tuple[bytes, ...]) -> tuple[str, tuple[str, ...]]:
    """The rule that cuts text into words, and what is to be said of it."""
    name = metadata.text("tokenizer.ggml.pre", "")
    if name in RULE_OF:
        return RULE_OF[name], ()
    if name not in UNNAMED:
        raise metadata.refused(f"cuts text into words by the rule {name!r:.40}")
    known = frozenset(tokens)
    rule = next((rule for rule, signs in SIGNS if known.issuperset(sign.encode() for sign in signs)), "")
    if not rule and len(tokens) >= QWEN_SIZE and known.issuperset(sign.encode() for sign in QWEN_SIGNS):
        rule = "qwen2"
    path = metadata.container.path.name
    if rule:
        return rule, (f"{path} does not name the rule that cuts text into words; by its tokens it is {rule}.",)
    return "default", (f"{path} does not name the rule that cuts text into words, nor do its tokens tell: llama.cpp's "
                       "default is taken. If another was meant, the model will answer worse: look for a newer file.",)


def undo_alphabet(token: bytes) -> bytes:
    """The bytes a token of GPT-2's alphabet stands for; a token in other characters stands for itself."""
    try:
        return bytes(map(ALPHABET.__getitem__, token.decode()))
    except (UnicodeDecodeError, KeyError):
        return token


def _merges(metadata: Metadata, ids: dict[bytes, int]) -> tuple[tuple[int, int], ...]:
    """Pairs of tokens, the first to merge first; those whose parts or whole are no tokens can never happen."""
    merges = []
    for merge in metadata.strings("tokenizer.ggml.merges"):
        left, _, right = merge.partition(b" ")
        first, second = ids.get(left), ids.get(right)
        if first is not None and second is not None and left + right in ids:
            merges.append((first, second))
    return tuple(merges)


def _sentencepiece(metadata: Metadata, tokens: tuple[bytes, ...], types: list[int]) -> Vocab:
    key = "tokenizer.ggml.scores"
    scores = metadata.numbers(key, len(tokens))
    if scores.dtype.kind != "f" or not np.isfinite(scores).all():
        raise metadata.damaged(f"its {key} are no finite numbers")
    space = "\u2581".encode()
    # Runs of spaces that were defined by a user are not found in a text while they are written so, but merged.
    types = [NORMAL if kind == USER_DEFINED and space in token else kind for token, kind in zip(tokens, types)]
    pieces = tuple(token.replace(space, b" ") for token in tokens)
    outputs = list(_outputs(pieces, types))
    byte_ids = [-1] * 256
    for i, kind in enumerate(types):
        if kind == BYTE or (kind not in SPECIAL and BYTE_TOKEN.fullmatch(tokens[i])):
            byte = _byte_of(metadata, tokens[i])
            outputs[i] = bytes([byte])
            byte_ids[byte] = i
    bos = _token_id(metadata, "bos", len(tokens), BOS_ID)
    return Vocab(
        kind="sentencepiece", pieces=pieces, outputs=tuple(outputs), scores=tuple(scores.tolist()),
        byte_ids=tuple(byte_ids), bos_id=bos, eos_ids=_eos_ids(metadata, tokens, types, EOS_ID),
        add_bos=metadata.flag("tokenizer.ggml.add_bos_token", True) and bos >= 0,
        add_space_prefix=metadata.flag("tokenizer.ggml.add_space_prefix", True),
        special=_special(pieces, types), in_any_text=_in_any_text(types),
        strips_after=_strips_after(metadata, tokens, types),
        chat_template=metadata.text("tokenizer.chat_template", ""))


def _byte_of(metadata: Metadata, token: bytes) -> int:
    named = BYTE_TOKEN.fullmatch(token)
    if not named:
        raise metadata.damaged(f"the token {token!r:.40} of its vocabulary is no byte")
    return int(named[1], 16)


def _outputs(pieces: tuple[bytes, ...], types: list[int]) -> tuple[bytes, ...]:
    return tuple(b"" if kind in SILENT else piece for piece, kind in zip(pieces, types))


def _special(tokens: tuple[bytes, ...], types: list[int]) -> dict[str, int]:
    special: dict[str, int] = {}
    for i, kind in enumerate(types):
        if kind in SPECIAL and tokens[i]:
            special.setdefault(tokens[i].decode(errors="replace"), i)
    return special


def _in_any_text(types: list[int]) -> frozenset[int]:
    return frozenset(i for i, kind in enumerate(types) if kind == USER_DEFINED)


def _strips_after(metadata: Metadata, tokens: tuple[bytes, ...], types: list[int]) -> frozenset[int]:
    name = metadata.text("general.name", "").lower()
    if not any(part in name for part in PHI3):
        return frozenset()
    return frozenset(i for i, kind in enumerate(types) if kind in SPECIAL and tokens[i] not in KEEP_WHAT_FOLLOWS)


def _token_id(metadata: Metadata, name: str, count: int, default: int) -> int:
    """The id under `name`; -1 where there is none."""
    key = f"tokenizer.ggml.{name}_token_id"
    # Some converters write "none" as 2^32 - 1.
    value = metadata.whole(key, default if default < count else -1)
    if value in (-1, 0xFFFFFFFF):
        return -1
    if not 0 <= value < count:
        raise metadata.damaged(f"its {key} is {value}, its vocabulary has {count} tokens")
    return value


def _eos_ids(metadata: Metadata, tokens: tuple[bytes, ...], types: list[int], default: int) -> tuple[int, ...]:
    """Every token that ends a reply, the one the metadata calls so first."""
    named = [_token_id(metadata, "eos", len(tokens), default)]
    named += [_token_id(metadata, name, len(tokens), -1) for name in ("eot", "eom")]
    ends = {token: i for i, (token, kind) in reversed(list(enumerate(zip(tokens, types)))) if kind == CONTROL}
    by_name = [ends[end.encode()] for end in (*ENDS, "</s>") if end.encode() in ends]
    if any(all(name.encode() in ends for name in names) for names in ONLY_A_MESSAGE):
        named, by_name = ([i for i in ids if i != ends.get(b"<|end|>")] for ids in (named, by_name))
    return tuple(dict.fromkeys(i for i in named + sorted(by_name) if i >= 0))
