"""The primitives again, as LLVM IR.  Importing `install` teaches Numba the whole dialect."""
