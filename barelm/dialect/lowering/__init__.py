"""The primitives again, as LLVM IR.  Importing `install` teaches Numba the whole dialect."""

from barelm.dialect.lowering.x86_64 import X86_64

FAMILIES = (X86_64,)
"""The processor families there are, each in a folder of its own."""

FAMILY = FAMILIES[0]
"""The one the program is compiled for."""
