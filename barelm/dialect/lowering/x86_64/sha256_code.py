"""SHA-256 over blocks by the SHA instructions (Intel SDM volume 2, SHA256RNDS2), as text for LLVM's assembler.

The eight words are at RDI, as two registers want them: A B E F and C D G H.  Blocks are at RSI, RCX of them; the
constants, aligned to 16 bytes, at RDX.
"""

from itertools import chain

STATE = "movdqu (%rdi), %xmm1", "movdqu 16(%rdi), %xmm2"
STORE = "movdqu %xmm1, (%rdi)", "movdqu %xmm2, 16(%rdi)"
ABEF = ("pshufd $$0xB1, %xmm1, %xmm1", "pshufd $$0x1B, %xmm2, %xmm2", "movdqa %xmm1, %xmm7",
        "palignr $$8, %xmm2, %xmm1", "pblendw $$0xF0, %xmm7, %xmm2")
ABCD = ("pshufd $$0x1B, %xmm1, %xmm1", "pshufd $$0xB1, %xmm2, %xmm2", "movdqa %xmm1, %xmm7",
        "pblendw $$0xF0, %xmm2, %xmm1", "palignr $$8, %xmm7, %xmm2")
BIG_ENDIAN = ("movabs $$0x0405060700010203, %rax", "movq %rax, %xmm8", "movabs $$0x0C0D0E0F08090A0B, %rax",
              "movq %rax, %xmm7", "punpcklqdq %xmm7, %xmm8")
CLOBBERED = ",".join(f"~{{{name}}}" for name in ("rax", "si", "cx", "flags", "memory",
                                                 *(f"xmm{k}" for k in range(11))))


def _four_rounds(group: int) -> tuple[str, ...]:
    """Rounds 4 g to 4 g + 3; the message's last sixteen words are in XMM3 to XMM6, four in each."""
    before, now, after = (f"%xmm{3 + (group + step) % 4}" for step in (-1, 0, 1))
    load = (f"movdqu {16 * group}(%rsi), {now}", f"pshufb %xmm8, {now}") if group < 4 else ()
    extend = (f"movdqa {now}, %xmm7", f"palignr $$4, {before}, %xmm7", f"paddd %xmm7, {after}",
              f"sha256msg2 {now}, {after}") if 3 <= group <= 14 else ()
    prepare = (f"sha256msg1 {now}, {before}",) if 1 <= group <= 12 else ()
    return (*load, f"movdqa {now}, %xmm0", f"paddd {16 * group}(%rdx), %xmm0", "sha256rnds2 %xmm0, %xmm1, %xmm2",
            *extend, "pshufd $$0x0E, %xmm0, %xmm0", "sha256rnds2 %xmm0, %xmm2, %xmm1", *prepare)


SHA256_CODE = "; ".join((
    *STATE, *ABEF, *BIG_ENDIAN, "2: movdqa %xmm1, %xmm9", "movdqa %xmm2, %xmm10",
    *chain(*(_four_rounds(group) for group in range(16))),
    "paddd %xmm9, %xmm1", "paddd %xmm10, %xmm2", "add $$64, %rsi", "dec %rcx", "jnz 2b", *ABCD, *STORE))

