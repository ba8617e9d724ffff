"""README says what the card of the default weights says."""

from pathlib import Path

import pytest

from training.tools.readme_groups import default_card, groups_table, with_table

README = Path(__file__).resolve().parent.parent / "README.md"

CARD = """# model
## Accuracy
| | UTKFace test: n | MAE | bias | gender | FairFace test: n |
|---|---|---|---|---|---|
| **all** | 300 | **5.86** | -1.62 | **0.925** | 20 |
| 0-9 | 48 | 1.81 | +1.33 | 0.733 | 3 |

| other | 1 | 2 | 3 | 4 | 5 |
"""


def test_a_card_becomes_a_table() -> None:
    rows = groups_table(CARD).splitlines()[2:]
    assert rows == ["| all | 5.9 | -1.6 | 92% |", "| 0-9 | 1.8 | +1.3 | 73% |"]


def test_a_card_without_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="Accuracy"):
        groups_table("# model")


def test_readme_has_the_errors_of_the_default_card() -> None:
    text = README.read_text("utf-8")
    assert with_table(text, groups_table(default_card())) == text
