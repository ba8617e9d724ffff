"""Where benchmarks keep what takes long to make: environments, scaled clips, references."""

import hashlib
import os
from pathlib import Path


def cache_dir(part: str) -> Path:
    """The folder of that part, made if need be; below `$XDG_CACHE_HOME`, else `~/.cache`."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "faces-benchmarks" / part
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key_of(*parts: Path | str | int) -> str:
    """A short name that changes whenever a file's bytes or another part changes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else str(part).encode())
    return digest.hexdigest()[:16]
