"""`python -m barelm` is `barelm`."""

from barelm.cli import main

main()
