"""From a published set of faces to aligned chips with one table."""
