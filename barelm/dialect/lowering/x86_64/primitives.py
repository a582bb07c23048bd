"""What `dialect.processor` asks of a processor family, for x86-64: by CPUID and the registers of vector state.

Bits of CPUID: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.  Registers of the clock: Intel SDM volume 3,
chapter 15, and volume 4; AMD APM volume 2, chapter 17.
"""

from barelm.dialect.lowering.x86_64.instructions import (
    cpuid,
    crc_of_byte,
    crc_of_word,
    dependent_adds,
    enable_xsave,
    rdtsc,
    read_msr,
    read_xcr0,
    reset_mxcsr,
    ring,
    sha256_blocks,
    spin_hint,
    write_msr,
    write_xcr0,
)
from barelm.dialect.memory import CRC32C, i64_array
from barelm.dialect.processor import NO_LEVEL
from barelm.dialect.rooms import metal
from barelm.dialect.types import I32, I64, U8

SSE3, SSSE3, SSE41, SSE42, POPCNT = 1 << 0, 1 << 9, 1 << 19, 1 << 20, 1 << 23  # leaf 1, ECX
FMA, MOVBE, XSAVE, OSXSAVE, AVX, F16C = 1 << 12, 1 << 22, 1 << 26, 1 << 27, 1 << 28, 1 << 29
HYPERVISOR = 1 << 31
LAHF, LZCNT = 1 << 0, 1 << 5  # leaf 0x80000001, ECX
BMI1, AVX2, BMI2, AVX512F = 1 << 3, 1 << 5, 1 << 8, 1 << 16  # leaf 7, EBX
AVX512DQ, AVX512CD, AVX512BW, AVX512VL = 1 << 17, 1 << 28, 1 << 30, 1 << 31
SHA = 1 << 29  # leaf 7, EBX
AVX512_VNNI, AVX_VNNI = 1 << 11, 1 << 4  # leaf 7, ECX, and its subleaf 1, EAX

# Together what the x86-64 psABI asks of each level.
V2 = SSE3 | SSSE3 | SSE41 | SSE42 | POPCNT
V3 = V2 | FMA | MOVBE | XSAVE | AVX | F16C
V3_EXTENDED = BMI1 | AVX2 | BMI2
V4 = AVX512F | AVX512DQ | AVX512CD | AVX512BW | AVX512VL

V2_LEVEL, V3_LEVEL, V3N_LEVEL, V4_LEVEL = range(4)

EXTENDED, BRAND = 0x80000000, 0x80000002  # leaves: the last of the extended ones; the first of three of 16 characters
TCG_EBX = 0x54474354  # "TCGT", the beginning of what QEMU's emulator calls itself
XSTATE = 0xD  # a leaf: which bits of XCR0 there are
XCR0_AVX, XCR0_AVX512 = 0x7, 0xE7

GENU, AUTH = 0x756E6547, 0x68747541  # leaf 0, EBX: "GenuineIntel", "AuthenticAMD"
EIST = 1 << 7  # leaf 1, ECX
TURBO, HAS_HWP, HWP_PREFERENCE, COUNTERS = 1 << 1, 1 << 7, 1 << 10, 1 << 0  # leaf 6, EAX, and of its ECX
HAS_CPPC, P_STATES = 1 << 27, 1 << 7  # leaf 0x80000008, EBX; leaf 0x80000007, EDX
NO_TURBO_RATIOS = (0x37, 0x4A, 0x4C, 0x4D, 0x5A, 0x5D, 0x65, 0x6E, 0x75)
"""Models of family 6, all Atoms, whose ratios are in other registers."""

MPERF, APERF, PLATFORM_INFO, PERF_CTL, TURBO_RATIO_LIMIT = 0xE7, 0xE8, 0xCE, 0x199, 0x1AD
PM_ENABLE, HWP_CAPABILITIES, HWP_REQUEST = 0x770, 0x771, 0x774
P_STATE_CONTROL, CPPC_CAPABILITY, CPPC_ENABLE, CPPC_REQUEST = 0xC0010062, 0xC00102B0, 0xC00102B1, 0xC00102B3
BY_HWP, BY_PERF_CTL, BY_CPPC, BY_P_STATES = range(1, 5)  # the family's row has their names
PACKAGE_CONTROL, TURBO_OFF = 1 << 42, 1 << 32  # of HWP_REQUEST; of PERF_CTL

LEAST_IN_THIRDS = 4096
"""Bytes from which on thirds are faster: putting them together takes a microsecond or two."""

ROUNDS = 1 << 20
"""Of eight clocks each: two to four milliseconds."""


@metal
def cycles() -> int:
    """The time stamp counter."""
    return rdtsc()


@metal
def pause() -> None:
    """PAUSE."""
    spin_hint()


@metal
def cpu_level(most: int) -> int:
    """The highest of the psABI's levels, v4 only with VNNI; v3n is v3 with VNNI in registers of 256 bits.

    Under QEMU's emulator the lowest: there wide registers are several narrow ones in a loop, and slower.
    """
    ecx = cpuid(1, 0)[2]
    if ecx & V2 != V2:
        return NO_LEVEL
    if ecx & HYPERVISOR and cpuid(0x40000000, 0)[1] == TCG_EBX:
        return V2_LEVEL
    if most < V3_LEVEL or ecx & V3 != V3 or cpuid(0, 0)[0] < 7:
        return V2_LEVEL
    if cpuid(7, 0)[1] & V3_EXTENDED != V3_EXTENDED or cpuid(0x80000001, 0)[2] & LZCNT == 0:
        return V2_LEVEL
    if most >= V4_LEVEL and has_v4():
        return V4_LEVEL
    if most >= V3N_LEVEL and has_avx_vnni():
        return V3N_LEVEL
    return V3_LEVEL


@metal
def has_v4() -> bool:
    """Whether there is AVX-512 as the psABI's v4 wants it, with VNNI and a state to keep it in."""
    if cpuid(7, 0)[1] & V4 != V4 or cpuid(7, 0)[2] & AVX512_VNNI == 0 or cpuid(0, 0)[0] < XSTATE:
        return False
    return cpuid(XSTATE, 0)[0] & XCR0_AVX512 == XCR0_AVX512


@metal
def has_avx_vnni() -> bool:
    """Whether VNNI takes registers of 256 bits without AVX-512; older processors have no such subleaf."""
    return cpuid(7, 0)[0] >= 1 and cpuid(7, 1)[0] & AVX_VNNI != 0


@metal
def enable_vectors(level: int) -> None:
    """Switch on AVX, or AVX-512, where the level has it and nobody has, and reset MXCSR.

    Firmware often leaves XCR0 as it came out of reset, and wakes every other processor that way.  In a process of
    an operating system all is on already and nothing privileged is done.
    """
    reset_mxcsr()
    if level <= V2_LEVEL:
        return
    if cpuid(1, 0)[2] & OSXSAVE == 0:
        enable_xsave()
    enabled = read_xcr0()
    wanted = XCR0_AVX512 if level == V4_LEVEL else XCR0_AVX
    if enabled & wanted != wanted:
        write_xcr0(enabled | wanted)


@metal
def is_bare() -> bool:
    """Whether this is a processor of our own, whose registers may be read: no hypervisor's, no operating system's."""
    return ring() == 0 and cpuid(1, 0)[2] & HYPERVISOR == 0


@metal
def power_leaf() -> tuple[int, int]:
    """EAX and ECX of leaf 6, zeros where there is none."""
    if cpuid(0, 0)[0] < 6:
        return 0, 0
    a, _, c, _ = cpuid(6, 0)
    return a, c


@metal
def raise_clock() -> int:
    """By the first of what CPUID announces: HWP, PERF_CTL on Intel's, CPPC and P-states on AMD's."""
    if not is_bare():
        return 0
    power = power_leaf()[0]
    vendor = cpuid(0, 0)[1]
    if power & HAS_HWP:
        return ask_hwp(power)
    if vendor == GENU and cpuid(1, 0)[2] & EIST:
        return ask_perf_ctl(power)
    last = cpuid(EXTENDED, 0)[0]
    if vendor == AUTH and last >= EXTENDED + 8 and cpuid(EXTENDED + 8, 0)[1] & HAS_CPPC:
        return ask_cppc()
    if vendor == AUTH and last >= EXTENDED + 7 and cpuid(EXTENDED + 7, 0)[3] & P_STATES:
        return ask_register(BY_P_STATES, P_STATE_CONTROL, 7, 0)
    return 0


@metal
def ask_register(way: int, register: int, mask: int, value: int) -> int:
    """Put a value where the mask is, the rest as it reads; returns the way, negative where it does not read back."""
    write_msr(register, read_msr(register) & ~mask | value)
    return way if read_msr(register) & mask == value else -way


@metal
def ask_hwp(power: int) -> int:
    """Least and most at the highest, nothing desired between, and, where it can be said, speed preferred to thrift."""
    if ask_register(BY_HWP, PM_ENABLE, 1, 1) < 0:
        return -BY_HWP
    highest = read_msr(HWP_CAPABILITIES) & 0xFF
    mask = 0xFFFFFF | PACKAGE_CONTROL
    if power & HWP_PREFERENCE:
        mask |= 0xFF000000
    return ask_register(BY_HWP, HWP_REQUEST, mask, highest << 8 | highest)


@metal
def ask_perf_ctl(power: int) -> int:
    """The ratio of one core's turbo, or the highest without.  What runs here, SSE4.2, has these registers but Atoms."""
    family, model, _ = cpu_signature()
    for other in NO_TURBO_RATIOS:
        if model == other:
            return 0
    if family != 6:
        return 0
    ratio = read_msr(PLATFORM_INFO) >> 8 & 0xFF
    mask = 0xFFFF
    if power & TURBO:
        ratio = max(ratio, read_msr(TURBO_RATIO_LIMIT) & 0xFF)
        mask |= TURBO_OFF
    return ask_register(BY_PERF_CTL, PERF_CTL, mask, ratio << 8) if ratio > 0 else 0


@metal
def ask_cppc() -> int:
    """Most and least at the highest, nothing desired between, speed preferred to thrift."""
    if ask_register(BY_CPPC, CPPC_ENABLE, 1, 1) < 0:
        return -BY_CPPC
    highest = read_msr(CPPC_CAPABILITY) >> 24 & 0xFF
    return ask_register(BY_CPPC, CPPC_REQUEST, 0xFFFFFFFF, highest << 8 | highest)


@metal
def counter_speed() -> int:
    """By the crystal's clock and its ratio (leaf 15h), else by the processor's base clock (leaf 16h)."""
    last = cpuid(0, 0)[0]
    if last >= 0x15:
        denominator, numerator, crystal, _ = cpuid(0x15, 0)
        if denominator > 0 and numerator > 0 and crystal > 0:
            return crystal * numerator // denominator
    return (cpuid(0x16, 0)[0] & 0xFFFF) * 1_000_000 if last >= 0x16 else 0


@metal
def core_speed() -> int:
    """By the counters of clocks that were and of clocks at the rate of `cycles`; else by additions of a clock each."""
    counted = is_bare() and power_leaf()[1] & COUNTERS != 0
    clocks = read_msr(APERF) if counted else 0
    counts = read_msr(MPERF) if counted else rdtsc()
    adds = dependent_adds(ROUNDS)
    if counted:
        return (read_msr(APERF) - clocks) * 1000 // max(read_msr(MPERF) - counts, 1)
    return adds * 1000 // max(rdtsc() - counts, 1)


@metal
def cpu_name(words: I64) -> None:
    """The brand string; the vendor where there is none."""
    if cpuid(EXTENDED, 0)[0] < BRAND + 2:
        cpu_vendor(words)
        return
    for leaf in range(3):
        a, b, c, d = cpuid(BRAND + leaf, 0)
        words[2 * leaf] = b << 32 | a
        words[2 * leaf + 1] = d << 32 | c


@metal
def cpu_vendor(words: I64) -> None:
    """EBX, EDX and ECX of leaf 0."""
    _, b, c, d = cpuid(0, 0)
    words[0] = d << 32 | b
    words[1] = c


@metal
def cpu_signature() -> tuple[int, int, int]:
    """Leaf 1, EAX, with the extended family and model where they count."""
    signature = cpuid(1, 0)[0]
    family = signature >> 8 & 15
    model = signature >> 4 & 15
    if family == 6 or family == 15:
        model += (signature >> 16 & 15) << 4
    if family == 15:
        family += signature >> 20 & 255
    return family, model, signature & 15


@metal
def cpu_features() -> int:
    """The vector instructions among the features of the family's row."""
    ecx = cpuid(1, 0)[2]
    found = 0
    if ecx & AVX:
        found |= 1
    if ecx & FMA:
        found |= 2
    if cpuid(0, 0)[0] >= 7:
        ebx = cpuid(7, 0)[1]
        if ebx & AVX2:
            found |= 4
        if ebx & AVX512F:
            found |= 8
        if cpuid(7, 0)[2] & AVX512_VNNI or has_avx_vnni():
            found |= 16
    return found


@metal
def crc32c(crc: int, data: U8, n_bytes: int) -> int:
    """By CRC32, which takes three clocks and can begin every clock: three thirds side by side, then put together."""
    crc ^= 0xFFFFFFFF
    third = n_bytes // 24 if n_bytes >= LEAST_IN_THIRDS else 0
    words = i64_array(data, 0, n_bytes // 8)
    if third > 0:
        b = 0
        c = 0
        for i in range(third):
            crc = crc_of_word(crc, words[i])
            b = crc_of_word(b, words[third + i])
            c = crc_of_word(c, words[2 * third + i])
        shift = behind_words(third)
        crc = crc_product(shift, crc_product(shift, crc) ^ b) ^ c
    for i in range(3 * third, n_bytes // 8):
        crc = crc_of_word(crc, words[i])
    for i in range(n_bytes // 8 * 8, n_bytes):
        crc = crc_of_byte(crc, int(data[i]))
    return crc ^ 0xFFFFFFFF


@metal
def crc_product(a: int, b: int) -> int:
    """a · b modulo the polynomial, the lowest power the highest of 32 bits."""
    product = 0
    for k in range(31, -1, -1):
        if a >> k & 1:
            product ^= b
        b = b >> 1 ^ CRC32C * (b & 1)
    return product


@metal
def behind_words(n: int) -> int:
    """x^(64 n) modulo the polynomial: by what a state is multiplied when n words of zeros follow."""
    power = 1 << 31
    square = 1 << 30
    for _ in range(6):
        square = crc_product(square, square)
    while n > 0:
        if n & 1:
            power = crc_product(power, square)
        square = crc_product(square, square)
        n >>= 1
    return power


@metal
def hash_blocks(words: I32, address: int, n: int) -> bool:
    """By SHA256RNDS2 and its like; with SSE4.1, which every level has."""
    if cpuid(0, 0)[0] < 7 or cpuid(7, 0)[1] & SHA == 0 or cpuid(1, 0)[2] & V2 != V2:
        return False
    sha256_blocks(words, address, n)
    return True
