"""In place of `barelm.fleet.serve_child`: a node that is played, in a process that can be killed."""

from __future__ import annotations

import sys
import time

from tests.fleet.nodes import PlayedNode

if __name__ == "__main__":
    if "refused" in sys.argv:
        sys.exit("barelm: there is no such model")
    PlayedNode(int(sys.argv[sys.argv.index("--port") + 1]))
    time.sleep(60)
