"""The board: one page of int64 words through which the boot story, the engine and the workers know of each other.

The story writes it before a command; workers and engine only read it, but for the words of the gate and CLAIMS.
"""

# Where things lie (addresses)
HEADER = 0
STATE = 1
SECTIONS = 2  # one word per section of pack.layout

# The command: what every core runs next
COMMAND = 24
POSITION = 25  # decode: the token's position; prefill: how many tokens the prompt has
TEMPERATURE_BITS = 26
TOP_P_BITS = 27
N_CORES = 28
LEVEL = 29

PREFILL = 1
DECODE = 2
CHOOSE = 3
STOP = 4

# On cache lines of their own: these are spun on.
ORDER = 40  # counts commands; a worker runs one whenever it changes
CLAIMS = 48  # workers that have come; CLOSED once the team is complete
CLOSED = 1 << 32

WORDS = 512
BYTES = 4096
