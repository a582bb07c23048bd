"""`barelm serve` as the child of a process that may be killed: it ends with it."""

import sys

from barelm.child_python import end_with_parent
from barelm.cli import main

if __name__ == "__main__":
    end_with_parent()
    main(["serve", *sys.argv[1:]])
