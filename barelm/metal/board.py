"""The board: a page of int64 words through which the boot story, the engine and the workers know of each other.

The story writes it before a command; workers and engine only read it, but for the words of the gate and CLAIMS.
"""

# Where things lie (addresses)
HEADER = 0
STATE = 1
SECTIONS = 2  # one word per section of pack.layout
WHOLE = 23  # address of the block that holds every section, or 0

# The command: what every core runs next
COMMAND = 24
POSITION = 25  # decode: the token's position; prefill: how many tokens there are
N_CORES = 26
LEVEL = 27
TEAM = 47  # processors that answered, this one included; N_CORES of them compute
CACHED = 28  # tokens whose keys and values are in the cache

PREFILL = 1
DECODE = 2
CHOOSE = 3
STOP = 4

# What the configuration asks for (see metal.config)
TEMPERATURE = 32  # the bits of a float32
TOP_P = 33
SEED = 34
TOKENS = 35  # to generate; 0: as many as the context holds, up to story.DEFAULT_TOKENS
CORES = 36  # the most to use; 0: all
AT_END = 37
WAIT_S = 38  # how long the last screen waits for a key
REPORT = 39  # 1: speak to a program (see metal.story) rather than to a person
PROMPT = 40  # address
PROMPT_BYTES = 41
SYSTEM = 42  # the system text of a chat: address
SYSTEM_BYTES = 43
TEMPLATE = 44  # 1: put the prompt through the model's chat template, where it has one
CHAT = 45  # 1: hold a conversation with whoever is at the keyboard

TOP_K = 80  # 0: no limit
MIN_P = 81  # the bits of a float32
REPEAT = 82  # the same: the repetition penalty, 1: none
STOPS = 83  # address of texts that end an answer, each with a zero behind it
STOPS_BYTES = 84
MODEL = 85  # address: the file to load where there are several
MODEL_BYTES = 86
COUNTDOWN_S = 87  # how long the menu waits before it takes that one
KEYBOARD = 88  # one of metal.layouts
SELFTEST = 89  # 1: compute the packed example at every start
PREFIX = 92  # 1: compute and save the beginning of every conversation, and end
SCREEN = 90  # 0: leave the screen to the firmware's console
ENDED = 91  # why the last answer ended

ENDED_ITSELF = 0
ENDED_AT_LIMIT = 1
ENDED_AT_STOP = 2  # a stop string
ENDED_BY_KEY = 3

AT_END_RETURN = 0
AT_END_SHUTDOWN = 1
AT_END_RESTART = 2

RESTING = 93  # cores that compute when the team is awake again; 0: it is awake
TEAM_EVENT = 94  # what the firmware signals when all workers are home

# What was measured
MEMORY = 48  # bytes allocated
CYCLES_PER_MS = 49
LOAD_CYCLES = 50
N_PROMPT = 51
N_GENERATED = 52
PREFILL_CYCLES = 53
DECODE_CYCLES = 54
LAST_READ = 60  # of the last reply: ids read before it, tokens made, cycles these took
LAST_MADE = 61
LAST_CYCLES = 62

# Keys typed while an answer was being made, each as `firmware.read_key` returns it: a ring of N_KEYS words.
KEYS_PUT = 56
KEYS_TAKEN = 57
KEYS = 128
N_KEYS = 256

# On cache lines of their own: these are spun on.
ORDER = 64  # counts commands, and in its low bits for how many cores: a worker looks whenever it changes
ORDER_BITS = 16
ORDER_CORES = (1 << ORDER_BITS) - 1
CLAIMS = 72  # workers that have come; CLOSED once the team is complete
CLOSED = 1 << 32

WORDS = 512
BYTES = 4096
