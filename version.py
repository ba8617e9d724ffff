"""The version of the whole program, in its only place: pyproject.toml reads it from here."""

VERSION = "0.1.0"
