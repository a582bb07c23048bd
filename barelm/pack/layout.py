"""THE contract between host and metal: the layout of a `.blm` file.  Constants only; both sides import it.

A file is a header of HEADER_BYTES and then SECTIONS sections.  All is little-endian.  The header is an array of
int64 words: the first ones are named below, the section table starts at word SECTION_TABLE with SECTION_WORDS
words per section.  Sections start on multiples of PAGE, so that a read into page-aligned memory keeps file offset
and address congruent; the gaps are zeros.

A weight matrix of `rows x cols` is stored in panels of 16 rows: value (row r, column j) is element
[r // 16][j][r % 16], so that one vector load gives column j of sixteen rows and every output is a plain sum in the
order of j.  Rows are padded with zeros to a multiple of 16.  All layers of a matrix follow one another.
"""

MAGIC = int.from_bytes(b"barelm\x1a\x0a", "little")
VERSION = 1
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

# The tokenizer.
TOKENIZER_KIND = 24
BOS_ID = 25  # -1: none
EOS_ID = 26  # the first of N_EOS words
N_EOS = 4  # unused ones are -1
ADD_BOS = 30
ADD_SPACE = 31
MAX_PIECE_BYTES = 32
N_CHARS = 33
N_MERGES = 34

# Memory the metal will allocate, in bytes, each a multiple of PAGE.
WEIGHTS_BYTES = 40  # the header and all sections
STATE_BYTES = 41  # activations, key-value cache, sampler, text
WORKSPACE_BYTES = 42  # the loader's bounce buffer, the console's lines, the worker board
MEMORY_BYTES = 43  # their sum: the announced figure

NAME = 48  # NAME_WORDS words of UTF-8, zero padded: what the model is called
NAME_WORDS = 8

# The section table: SECTION_WORDS words for each section.
SECTION_TABLE = 64
SECTION_WORDS = 8
OFFSET = 0  # from the start of the file
BYTES = 1  # 0: absent
SUM_A = 2
SUM_B = 3
KIND = 4  # how weights are encoded: F32
ROWS = 5  # of one layer, padded
COLS = 6
LAYER_BYTES = 7

# Sections, in file order.
HEADER_SECTION = -1
PIECES = 0  # the bytes every token prints, one after another
PIECE_ENDS = 1  # int32 per token: where its piece ends in PIECES
CHARS = 2  # int64 pairs, sorted: a character's UTF-8 bytes as a big-endian number, the token that stands for it
BYTE_TOKENS = 3  # int32 [256]: the token of each single byte, or -1
MERGES = 4  # int64 pairs, sorted: left << 32 | right, rank << 32 | merged
ROPE = 5  # float32 [seq_len][head_dim / 2][2]: cosine and sine
ATTENTION_NORM = 6  # float32 [n_layers][dim padded]
FFN_NORM = 7
FINAL_NORM = 8  # float32 [dim padded]
EMBEDDING = 9  # vocab_size x dim, panels
WQKV = 10  # (q_dim + 2 kv_dim) x dim: the rows of wq, wk and wv, one after another
WO = 11  # dim x q_dim
W13 = 12  # 2 x hidden_dim x dim: panels of w1 and w3 in turn, so that a core gates what it has computed
W2 = 13  # dim x hidden_dim
CLASSIFIER = 14  # vocab_size x dim, absent where the embedding serves
SECTIONS = 15

SECTION_NAMES = (
    "pieces", "piece ends", "characters", "byte tokens", "merges", "rope", "attention norm", "ffn norm", "final norm",
    "embedding", "wqkv", "wo", "w13", "w2", "classifier",
)

# Encodings of a weight matrix.
F32 = 0
KIND_NAMES = ("F32",)

# Tokenizers.
SENTENCEPIECE = 0
BYTELEVEL = 1

# The state's fixed parts.
DEFAULT_BATCH = 32
DEFAULT_MAX_CORES = 64
TEXT_BYTES = 65536  # the longest configuration file, prompt included
WORKSPACE = 2 << 20  # bytes
