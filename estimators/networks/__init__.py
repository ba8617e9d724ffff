"""The architectures, one a file, and the heads and backbones that they share."""
