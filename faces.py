"""Age and gender of the faces in films, cameras and photographs, as a library."""

from version import VERSION as __version__

__all__ = ["__version__"]
