"""A processor family of the tests' own: what an added folder needs to have for a program to be compiled for it."""

from barelm.dialect.lowering.family import Family, Level

ROUTINES = """
define void @memcpy(ptr %target, ptr %source, i64 %n) "no-builtins" {
start:
  br label %next
next:
  %i = phi i64 [0, %start], [%after, %copy]
  %more = icmp ult i64 %i, %n
  br i1 %more, label %copy, label %done
copy:
  %from = getelementptr i8, ptr %source, i64 %i
  %to = getelementptr i8, ptr %target, i64 %i
  %byte = load i8, ptr %from
  store i8 %byte, ptr %to
  %after = add i64 %i, 1
  br label %next
done:
  ret void
}

define void @memset(ptr %target, i32 %value, i64 %n) "no-builtins" {
start:
  %byte = trunc i32 %value to i8
  br label %next
next:
  %i = phi i64 [0, %start], [%after, %fill]
  %more = icmp ult i64 %i, %n
  br i1 %more, label %fill, label %done
fill:
  %to = getelementptr i8, ptr %target, i64 %i
  store i8 %byte, ptr %to
  %after = add i64 %i, 1
  br label %next
done:
  ret void
}
"""

AARCH64 = Family(
    package=__name__,
    name="AArch64",
    triple="aarch64-unknown-windows",  # LLVM knows UEFI on x86-64 only; the object format is the same
    pe_machine=0xAA64,
    boot_file="BOOTAA64.EFI",
    baseline=Level("baseline", cpu="generic"),
    levels=(Level("neon", cpu="generic"),),
    features=("SVE",),
    clocks=("nobody",),
    too_old=("this processor is too old", "Take another."),
    routines=ROUTINES,
    entry="")
