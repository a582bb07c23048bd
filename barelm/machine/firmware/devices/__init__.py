"""What the hosted firmware has plugged in: console, screen, serial line, volume, processors."""
