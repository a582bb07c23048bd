"""Objects, as LLVM emits them, to a program."""
