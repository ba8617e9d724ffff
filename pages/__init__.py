"""What the pages of reports share: base.html.j2, their frame, and page.css, their look.

A page is one file that needs no network; it follows the system's light or dark theme.
"""

from pathlib import Path
from typing import Any

from errors import SinkError


def environment(folder: Path) -> Any:
    """The templates of a folder, which may build on those here; all values are escaped.

    Raises:
        SinkError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise SinkError("a report needs jinja2; pip install jinja2") from error
    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).resolve().parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
