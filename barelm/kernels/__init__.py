"""The mathematics: runs unchanged in the interpreter, under the host's JIT and on the metal, with the same bits.

A kernel touches only its arguments: no input or output, no allocation, no state of its own.
"""
