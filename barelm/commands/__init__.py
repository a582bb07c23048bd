"""What the commands of `cli` do, a file for each family."""
