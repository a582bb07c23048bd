"""The few symbols LLVM and Numba expect of a platform, and the program's entry points, as LLVM IR."""

from barelm.dialect.lowering import FAMILY

RUNTIME = "@_fltused = constant i32 0\n" + FAMILY.routines

# efi_main(ImageHandle, SystemTable): UEFI specification 2.10, section 4.1.  An exception that reaches it is handed,
# as the address of its message, to the function that reports it.  Both entries begin with what the family needs before
# any compiled code (`Family.entry`): the other processors may come as the firmware left them too.
_PREPARED = """
define i64 @efi_main(i64 %image, i64 %table) naked noinline {
  call void asm sideeffect "PREPARE", "i"(ptr @barelm_main)
  unreachable
}
define void @barelm_worker_entry(i64 %board) naked noinline {
  call void asm sideeffect "PREPARE", "i"(ptr @barelm_work)
  unreachable
}
"""
_PLAIN = """
define i64 @efi_main(i64 %image, i64 %table) {
  %status = call i64 @barelm_main(i64 %image, i64 %table)
  ret i64 %status
}
define void @barelm_worker_entry(i64 %board) {
  call void @barelm_work(i64 %board)
  ret void
}
"""
ENTRY = (_PREPARED.replace("PREPARE", FAMILY.entry) if FAMILY.entry else _PLAIN) + """
define i64 @barelm_main(i64 %image, i64 %table) noinline {
  %result = alloca i64
  %failure = alloca ptr
  %code = call i32 @MAIN(ptr %result, ptr %failure, i64 %image, i64 %table)
  %fine = icmp eq i32 %code, 0
  br i1 %fine, label %return, label %raised
raised:
  %message = load ptr, ptr %failure
  %address = ptrtoint ptr %message to i64
  %reported = call i32 @REPORT(ptr %result, ptr %failure, i64 %image, i64 %table, i64 %address)
  br label %return
return:
  %status = load i64, ptr %result
  ret i64 %status
}
declare i32 @MAIN(ptr, ptr, i64, i64)
declare i32 @REPORT(ptr, ptr, i64, i64, i64)

define void @barelm_work(i64 %board) noinline {
  %result = alloca i64
  %failure = alloca ptr
  %code = call i32 @WORKER(ptr %result, ptr %failure, i64 %board)
  ret void
}
declare i32 @WORKER(ptr, ptr, i64)
"""

# One engine per CPU level.  A kernel raises nothing: what it returns is what it was.  Where accesses are checked one
# may raise, and nothing can go on.
ENGINE = """
define i64 @barelm_engine_LEVEL(i64 %job, i64 %core) {
  %result = alloca i64
  %failure = alloca ptr
  %code = call i32 @ENTRY(ptr %result, ptr %failure, i64 %job, i64 %core)
  %fine = icmp eq i32 %code, 0
  br i1 %fine, label %return, label %raised
raised:
  call void @llvm.trap()
  unreachable
return:
  %status = load i64, ptr %result
  ret i64 %status
}
declare i32 @ENTRY(ptr, ptr, i64, i64)
declare void @llvm.trap()
"""

KEPT = ("efi_main", "barelm_worker_entry", "memcpy", "memset", "_fltused")
"""Symbols of the main object that stay visible."""
