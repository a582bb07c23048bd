"""Disk images without root: a GPT with an EFI system partition in FAT32, written, read back and changed in Python."""

from barelm.disk.editor import Editor
from barelm.disk.image import ImageLayout, write_image
from barelm.disk.table import VolumeFullError
from barelm.disk.volume import Volume

open_volume, open_editor = Volume, Editor       # what a caller does, by its name: making one opens the image

__all__ = ["Editor", "ImageLayout", "Volume", "VolumeFullError", "open_editor", "open_volume", "write_image"]
