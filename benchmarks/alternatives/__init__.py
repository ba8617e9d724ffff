"""What a user might take instead: `setup` makes the environments, `players` run in them."""
