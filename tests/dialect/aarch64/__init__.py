"""A processor family of the tests' own: what an added folder needs to have for a program to be compiled for it."""

from barelm.dialect.lowering.family import AddressForm, Family, Level

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



def page_address(code: int, place: int, target: int) -> int:
    """ADRP: the distance in pages, 21 bits in two fields."""
    left = code >> 29 & 3 | (code >> 5 & 0x7FFFF) << 2
    pages = (target + left >> 12) - (place >> 12)
    return code & 0x9F00001F | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5


def page_offset(code: int, place: int, target: int) -> int:
    """ADD, LDR, STR: the twelve low bits, for the last two counted in what is moved."""
    scale = code >> 30 if code & 0x3B000000 == 0x39000000 else 0
    scale += 4 if scale == 0 and code & 0x3F800000 == 0x3D800000 else 0  # a vector
    return code & ~(0xFFF << 10) | ((target & 0xFFF) >> scale) + (code >> 10 & 0xFFF) << 10


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
    references={3: AddressForm(4, lambda code, place, target: code & 0xFC000000 | target - place >> 2 & 0x3FFFFFF),
                4: AddressForm(4, page_address), 6: AddressForm(4, page_offset), 7: AddressForm(4, page_offset),
                14: AddressForm(8, lambda left, place, target: left + target, is_address=True),
                17: AddressForm(4, lambda left, place, target: left + target - place - 4 & 0xFFFFFFFF)},
    entry="")
