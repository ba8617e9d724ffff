"""A short clip of three people made from public-domain portraits, with its truth."""
