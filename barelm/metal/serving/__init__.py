"""A node: the model served to whoever asks over the network, several at a time."""
