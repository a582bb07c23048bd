"""The network of a node: its interfaces and addresses, and the connections of those who come."""
