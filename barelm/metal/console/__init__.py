"""Where text goes: screen, serial line, the firmware's console."""
