"""`python -m barelm` is `barelm`; a `json.py` in the folder it is started in is not the json that is meant."""

import os
import sys

if not sys.flags.safe_path:
    here = sys.path.pop(0)  # Python put the current folder first
    if here == os.path.dirname(os.path.dirname(__file__)):
        sys.path.append(here)  # barelm itself lies there, not installed: its children find it too

from barelm.cli import main

main()
