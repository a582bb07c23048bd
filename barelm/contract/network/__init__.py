"""What program and hosted firmware agree on of networks, and what the program keeps of its own."""
