"""THE contract between host and metal: the layout of a `.blm` file.  Constants only; both sides import it.

A file is a header of HEADER_BYTES and then SECTIONS sections.  All is little-endian.  The header is an array of
int64 words: the first ones are named below, the section table starts at word SECTION_TABLE with SECTION_WORDS
words per section.  Sections start on multiples of PAGE, so that a read into page-aligned memory keeps file offset
and address congruent; the gaps are zeros.

A weight matrix of `rows x cols` is stored in panels of 16 rows.  In float32, value (row r, column j) is element
[r // 16][j][r % 16], so that one vector load gives column j of sixteen rows and every output is a plain sum in the
order of j; `kernels.encodings` describes the panels of the other encodings.  Rows are padded with zeros to a multiple
of 16.  All layers of a matrix follow one another.
"""

MAGIC = int.from_bytes(b"barelm\x1a\x0a", "little")
VERSION = 4
HEADER_BYTES = 4096
HEADER_WORDS = HEADER_BYTES // 8
PAGE = 4096

# Header words: what the file is.
MAGIC_WORD = 0
VERSION_WORD = 1
FILE_BYTES = 2
HEADER_SUM_A = 3  # checksum of the header itself, computed with both these words zero
HEADER_SUM_B = 4

# The shape, under the usual names.
DIM = 8
HIDDEN_DIM = 9
N_LAYERS = 10
N_HEADS = 11
N_KV_HEADS = 12
HEAD_DIM = 13
VOCAB_SIZE = 14
SEQ_LEN = 15
NORM_EPS_BITS = 16  # the bits of a float32
BATCH = 17  # tokens a forward pass takes at once while reading the prompt
MAX_CORES = 18  # processors the state has room for
KV_KIND = 19  # how keys and values are kept (see `kernels.cache`)

# The tokenizer.
TOKENIZER_KIND = 24
BOS_ID = 25  # -1: none
EOS_ID = 26  # the first of N_EOS words
N_EOS = 4  # unused ones are -1
ADD_BOS = 30
ADD_SPACE = 31
MAX_PIECE_BYTES = 32
N_CHARS = 33  # from here to N_CHAT_PIECES: counts, none negative
N_MERGES = 34
PRETOKENIZER = 35  # one of PRETOKENIZERS
N_CATEGORIES = 36
N_WORDS = 37
N_SPECIALS = 38
N_CHAT_PIECES = 39  # 0: no chat

# Memory the metal will allocate, in bytes, each a multiple of PAGE.
WEIGHTS_BYTES = 40  # the header and all sections
STATE_BYTES = 41  # activations, key-value cache, sampler, text
WORKSPACE_BYTES = 42  # the loader's bounce buffer, the console's lines, the worker board
MEMORY_BYTES = 43  # their sum: the announced figure

# The packed example: what this model makes of fixed ids, for a machine to compute again (see metal.selftest).
GOLDEN_SUM_A = 44  # of the logits of every step; GOLDEN_N 0: there is none
GOLDEN_SUM_B = 45
GOLDEN_N = 46
GOLDEN_IDS = 320  # GOLDEN_N words, the first GOLDEN_PROMPT given
GOLDEN_PROMPT = 8
GOLDEN_MOST = 24

NAME = 48  # NAME_WORDS words of UTF-8, zero padded: what the model is called
NAME_WORDS = 8

# The section table: SECTION_WORDS words for each section.
SECTION_TABLE = 64
SECTION_WORDS = 8
OFFSET = 0  # from the start of the file
BYTES = 1  # 0: absent
SUM_A = 2
SUM_B = 3
KIND = 4  # how weights are encoded: a row of `kernels.encodings.TABLE`
ROWS = 5  # of one layer, padded
COLS = 6
LAYER_BYTES = 7

# Sections, in file order.
PIECES = 0  # the bytes every token prints, one after another
PIECE_ENDS = 1  # int32 per token: where its piece ends in PIECES
CHARS = 2  # int64 pairs, sorted: a character's UTF-8 bytes as a big-endian number, the token that stands for it
BYTE_TOKENS = 3  # int32 [256]: the token of each single byte, or -1
MERGES = 4  # int64 pairs, sorted: left << 32 | right, rank << 32 | merged
ROPE = 5  # float32 [seq_len][head_dim / 2][2]: cosine and sine
ATTENTION_NORM = 6  # float32 [n_layers][dim padded to 32]
FFN_NORM = 7
FINAL_NORM = 8  # float32 [dim padded to 32]
EMBEDDING = 9  # vocab_size x dim, panels
WQKV = 10  # (q_dim + 2 kv_dim) x dim: the rows of wq, wk and wv, one after another
WO = 11  # dim x q_dim
W13 = 12  # 2 x hidden_dim x dim: panels of w1 and w3 in turn, so that a core gates what it has computed
W2 = 13  # dim x hidden_dim
CLASSIFIER = 14  # vocab_size x dim, absent where the embedding serves
CATEGORIES = 15  # int32, sorted: first code point << 2 | category, up to where the next begins (kernels.pretokenizer)
WORDS = 16  # int32: ids in the order of their pieces' bytes, where a word that is a token is not cut; else absent
SPECIALS = 17  # int32 [N_SPECIALS][3]: text begin, text end (bytes of this section), id; then the texts
CHAT = 18  # int32 [CHAT_WORDS], then texts; with N_CHAT_PIECES 0 the reason alone, as text
SECTIONS = 19

SECTION_NAMES = (
    "pieces", "piece ends", "characters", "byte tokens", "merges", "rope", "attention norm", "ffn norm", "final norm",
    "embedding", "wqkv", "wo", "w13", "w2", "classifier",
    "categories", "words", "special tokens", "chat",
)

# Forms of the key-value cache.
KV_F32 = 0
KV_F16 = 1
KV_Q8 = 2
KV_NAMES = ("f32", "f16", "q8")

# Tokenizers.
SENTENCEPIECE = 0
BYTELEVEL = 1

# Pre-tokenizers.
PRETOKENIZERS = ("", "gpt-2", "smollm", "llama-bpe", "qwen2")
GPT2 = 1
SMOLLM = 2
LLAMA_BPE = 3
QWEN2 = 4

# Chat: the words of its section.
CHAT_FLAGS = 0
CHAT_ENDS = 1  # where each piece ends, in bytes of the section; the first begins at CHAT_TEXT
CHAT_WORDS = 8
CHAT_TEXT = 4 * CHAT_WORDS

# Chat: its pieces, what stands around the texts of a conversation.
BEFORE_SYSTEM = 0
SYSTEM_TO_USER = 1
BEFORE_FIRST_USER = 2  # where no system text is given, with the template's own if it has one
BEFORE_NEXT_USER = 3  # the end of the reply before included
BEFORE_REPLY = 4
AFTER_REPLY = 5  # at the end of a conversation
CHAT_PIECES = 6

# Chat: the texts put between the pieces.  Bits 2 * slot and 2 * slot + 1 of the flags: the template strips white space
# on the left, on the right.
SYSTEM = 0
USER_AFTER_SYSTEM = 1
FIRST_USER = 2
NEXT_USER = 3
CHAT_SLOTS = 4
TAKES_SYSTEM = 1 << 8

# A session: a conversation that was saved, with its keys and values; or the beginning of one, packed on the host.
# A header of PAGE bytes in int64 words; token ids, int64; turns (metal.conversation), four int64 each; the system
# text and the typed texts, each padded to 8 bytes; then for every layer and head of the cache its parts
# (kernels.cache), as far as positions are cached.
SESSION_MAGIC = int.from_bytes(b"barelmS\n", "little")
SESSION_VERSION = 1
SESSION_MODEL_A = 3  # the checksum of the header of the model it was held with
SESSION_MODEL_B = 4
SESSION_TOKENS = 5  # how many ids
SESSION_CACHED = 6  # positions in the cache
SESSION_TURNS = 7
SESSION_SYSTEM_BYTES = 8
SESSION_TYPED_BYTES = 9
SESSION_RNG = 10
SESSION_TEXT_SUM_A = 11  # of what stands between header and cache
SESSION_TEXT_SUM_B = 12
SESSION_CACHE_SUM_A = 13
SESSION_CACHE_SUM_B = 14
SESSION_HEADER_SUM_A = 15  # of the header, computed with both these words zero
SESSION_HEADER_SUM_B = 16
SESSION_TURN_BYTES = 32
CACHE_PARTS = 4  # keys, values, the scales of both
PREFIX_PATH = "prefix.session"  # on the volume: the beginning of every conversation

# The state's fixed parts.
DEFAULT_BATCH = 32
DEFAULT_MAX_CORES = 64
TEXT_BYTES = 65536  # the longest configuration file, prompt included
WORKSPACE = 2 << 20  # bytes

KEYBOARDS = ("us", "uk", "de", "fr", "es", "it", "pt", "se", "no", "dk", "ch", "be", "br")
"""The keyboards a configuration may name, in the order of their numbers."""
