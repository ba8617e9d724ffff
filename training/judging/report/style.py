"""How figures look, and how they get into a page.

Colours are those of Okabe and Ito, which people who are colour-blind can tell apart; what
matters is never told by colour alone. Figures are as wide as a phone shows them with
letters that can be read, on white, in light and dark pages alike.
"""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from importlib.util import find_spec
from typing import Any

from errors import SinkError

INK, SOFT, LINE = "#1f2329", "#6a727d", "#d5d9df"
MAIN, ACCENT, BAND = "#0072b2", "#d55e00", "#e69f00"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5a5f66", "#b8a800")
MARKERS = "osD^vPX*"
WIDTH_IN = 4.4
DPI = 170
_RC = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
}


def check() -> None:
    """Make sure that figures can be drawn, before anything takes time.

    Raises:
        SinkError: what draws them is not installed.
    """
    if find_spec("matplotlib") is None:
        raise SinkError("the report needs matplotlib; pip install -r requirements.txt")


@contextmanager
def look() -> Iterator[None]:
    """Within it, figures are made in this style."""
    import matplotlib as mpl

    with mpl.rc_context(_RC):
        yield


def sheet(
    rows: int = 1, columns: int = 1, height_in: float = 3.4, **shared: Any
) -> tuple[Any, Any]:
    """A `Figure` and its (rows, columns) array of axes.

    Args:
        rows: of panels.
        columns: of panels.
        height_in: of the whole, inches.
        **shared: sharex and sharey of `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def embed(figure: Any, caption: str) -> str:
    """HTML that holds a figure, with a caption that says what there is to see."""
    data = io.BytesIO()
    # Lossless, and two fifths of the size of PNG.
    figure.savefig(data, format="webp", pil_kwargs={"lossless": True, "method": 2})
    source = data_address(data.getvalue(), "webp")
    text = escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def data_address(data: bytes, kind: str) -> str:
    """An address that holds a picture file itself; `kind` is "webp", "jpeg" ..."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
