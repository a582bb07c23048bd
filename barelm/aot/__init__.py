"""Python to PE32+: the only room that imports `metal`."""
