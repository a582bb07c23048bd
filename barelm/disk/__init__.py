"""Disk images without root: a GPT with an EFI system partition in FAT32, written and read back in Python."""

from barelm.disk.image import ImageLayout, write_image
from barelm.disk.volume import Entry, Volume, open_volume

__all__ = ["Entry", "ImageLayout", "Volume", "open_volume", "write_image"]
