"""The notebook of examples/ runs, and shows pictures with faces."""

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "first_steps.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of Jupyter's own packages
def test_the_first_steps_run_and_show_pictures() -> None:
    nbformat: Any = pytest.importorskip("nbformat")
    nbclient: Any = pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "keep outputs out of git"
    where = {"metadata": {"path": str(NOTEBOOK.parent.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    shown = [t for output in outputs if (t := output.get("data", {}).get("image/jpeg"))]
    for text in shown:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), 1)
        assert picture is not None and picture.shape == (540, 960, 3)
    assert len(shown) == 2
    said = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    assert "#1: male" in said and "4.0 s: {1: " in said
