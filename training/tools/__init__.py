"""From trained weights to the files that the program runs."""
