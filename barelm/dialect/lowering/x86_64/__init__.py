"""x86-64: its row in the table of families."""

from barelm.dialect.lowering.family import AddressForm, Family, Level

# LLVM turns loops into calls of memcpy and memset; "no-builtins" keeps them from becoming calls to themselves.  Below
# 512 bytes the instructions with "rep" take longer to begin than sixteen bytes at a time take to end.
_ROUTINE = """
define void @NAME(ptr %target, SECOND, i64 %n) "no-builtins" {
begin:PREPARE
  %few = icmp ult i64 %n, 512
  br i1 %few, label %sixteens, label %many
sixteens:
  %i = phi i64 [ 0, %begin ], [ %next, %sixteen ]
  %next = add i64 %i, 16
  %whole = icmp ule i64 %next, %n
  br i1 %whole, label %sixteen, label %rest
sixteen:GET_SIXTEEN
  %to = getelementptr i8, ptr %target, i64 %i
  store <16 x i8> %v, ptr %to, align 1
  br label %sixteens
rest:
  %j = phi i64 [ %i, %sixteens ], [ %after, %one ]
  %left = icmp ult i64 %j, %n
  br i1 %left, label %one, label %end
one:GET_ONE
  %byte_to = getelementptr i8, ptr %target, i64 %j
  store i8 %byte, ptr %byte_to
  %after = add i64 %j, 1
  br label %rest
many:
  call void asm sideeffect REPEAT
  br label %end
end:
  ret void
}
"""


def _routine(**parts: str) -> str:
    """IR of a routine that writes n bytes."""
    code = _ROUTINE
    for name, part in parts.items():
        code = code.replace(name, part)
    return code


ROUTINES = _routine(
    NAME="memcpy", SECOND="ptr %source", PREPARE="", GET_SIXTEEN="""
  %from = getelementptr i8, ptr %source, i64 %i
  %v = load <16 x i8>, ptr %from, align 1""", GET_ONE="""
  %byte_from = getelementptr i8, ptr %source, i64 %j
  %byte = load i8, ptr %byte_from""",
    REPEAT='"rep movsb", "{di},{si},{cx},~{memory},~{di},~{si},~{cx}"(ptr %target, ptr %source, i64 %n)',
) + _routine(
    NAME="memset", SECOND="i32 %value", PREPARE="""
  %byte = trunc i32 %value to i8
  %lane = insertelement <16 x i8> undef, i8 %byte, i32 0
  %v = shufflevector <16 x i8> %lane, <16 x i8> undef, <16 x i32> zeroinitializer""", GET_SIXTEEN="", GET_ONE="",
    REPEAT='"rep stosb", "{di},{al},{cx},~{memory},~{di},~{cx}"(ptr %target, i8 %byte, i64 %n)')

# Firmware has to switch SSE on (UEFI 2.3.4), and U-Boot does not: without it the first such instruction resets a PC.
# CR0.EM and TS off, MP on; CR4.OSFXSR and OSXMMEXCPT on.  A process (CPL 3) may not, and has it.
ENTRY = r"""
mov %cs, %eax
test $$3, %al
jne 1f
mov %cr0, %rax
and $$-13, %rax
or $$2, %rax
mov %rax, %cr0
mov %cr4, %rax
or $$0x600, %rax
mov %rax, %cr4
1: jmp ${0:P}
""".strip().replace("\n", "\\0A")

X86_64 = Family(
    package=__name__,
    name="x86-64",
    triple="x86_64-unknown-uefi",
    pe_machine=0x8664,
    boot_file="BOOTX64.EFI",
    baseline=Level("baseline", cpu="x86-64"),
    levels=(Level("v2", cpu="x86-64-v2", forms_need=("ssse3",)),  # the psABI's microarchitecture levels
            Level("v3", cpu="x86-64-v3", forms_need=("avx2", "f16c")),
            Level("v3n", cpu="x86-64-v3", features="+avxvnni", forms_need=("avx2", "f16c", "avxvnni")),
            Level("v4", cpu="x86-64-v4", features="+avx512vnni",
                  forms_need=("avx2", "f16c", "avx512bw", "avx512vl", "avx512vnni"))),
    features=("AVX", "FMA", "AVX2", "AVX-512", "VNNI"),
    clocks=("nobody", "HWP", "PERF_CTL", "CPPC", "P-states"),
    too_old=("this processor lacks SSE4.2 or POPCNT",
             "Take a machine built after 2008 (Intel) or 2011 (AMD); for a virtual one choose the CPU host or max."),
    routines=ROUTINES,
    references={1: AddressForm(8, lambda left, place, target: left + target, is_address=True),  # ADDR64
                4: AddressForm(4, lambda left, place, target: left + target - place - 4 & 0xFFFFFFFF)},  # REL32
    entry=ENTRY)
