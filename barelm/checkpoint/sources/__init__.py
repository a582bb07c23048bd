"""Where checkpoints come from: what a person calls a model becomes files, found on this computer or downloaded."""
