"""Alternatives to this program: `setup` makes the environments, `players` run in them."""
