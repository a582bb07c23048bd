"""How fast: models timed beside other programs, what the machine could do at most, tables and plots of both."""
