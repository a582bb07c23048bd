"""The typed Python that runs in the interpreter, under the host's JIT and on bare metal.

`types` and `rooms` say what a function is, `memory`, `vectors` and `processor` hold the primitives: ordinary
Python functions that define what each does.  `lowering/` says the same things again as LLVM IR.
"""
