"""A UEFI firmware in Python: runs the same `.efi` natively inside a process of its own.

Start at `firmware.py`; `child.py` is the process; one file per family of services, named as in the UEFI specification.
"""
