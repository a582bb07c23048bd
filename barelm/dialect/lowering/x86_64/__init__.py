"""x86-64: its row in the table of families."""

from barelm.dialect.lowering.family import Family, Level

# LLVM turns loops into calls of these two; "no-builtins" keeps them from becoming calls to themselves.
ROUTINES = """
define void @memcpy(ptr %target, ptr %source, i64 %n) "no-builtins" {
  call void asm sideeffect "rep movsb", "{di},{si},{cx},~{memory},~{di},~{si},~{cx}"(ptr %target, ptr %source, i64 %n)
  ret void
}

define void @memset(ptr %target, i32 %value, i64 %n) "no-builtins" {
  %byte = trunc i32 %value to i8
  call void asm sideeffect "rep stosb", "{di},{al},{cx},~{memory},~{di},~{cx}"(ptr %target, i8 %byte, i64 %n)
  ret void
}
"""

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
             "Take a machine built after 2008 (Intel) or 2011 (AMD)."),
    routines=ROUTINES)
