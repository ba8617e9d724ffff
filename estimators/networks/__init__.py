"""The architectures, one per file, and the heads and backbones they share."""
