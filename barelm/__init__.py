"""barelm: boot a PC straight into a Llama.  Start reading at `pipeline.py`."""

__version__ = "0.1.0"
