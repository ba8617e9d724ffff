"""Makes README's table of errors by group from the default model's card.

    python -m training.tools.readme_groups

replaces the rows between the two comments `groups` in README.md.
"""

import json
import re
import sys
from pathlib import Path

from estimators import DEFAULT
from files import write_whole

_ROOT = Path(__file__).resolve().parent.parent.parent
_BEGIN, _END = "<!-- groups: from the card -->\n", "<!-- end of groups -->\n"


def default_card() -> str:
    """The text of the card of the default weights."""
    manifest = json.loads((_ROOT / "weights/manifest.json").read_text("utf-8"))
    entry = manifest["models"][manifest["defaults"][DEFAULT]]
    return (_ROOT / "weights" / entry["card"]).read_text("utf-8")


def groups_table(card: str) -> str:
    """Return a Markdown table of UTKFace's groups: age MAE, bias and gender.

    Raises:
        ValueError: the card has no table of accuracy by group.
    """
    head = "| | age: mean error, years | too old (+) or young (-) by | gender right |"
    lines = [head, "|---|---|---|---|"]
    section = card.partition("## Accuracy\n")[2].partition("\n\n")[0]
    for row in re.findall(r"^\| (.+?) \| (?:[\d*]+) \| (.+?) \| (.+?) \| (.+?) \|", section, re.M):
        name, mae, bias, gender = (cell.strip("* ") for cell in row)
        lines.append(f"| {name} | {float(mae):.1f} | {float(bias):+z.1f} | {float(gender):.0%} |")
    if len(lines) < 3:
        raise ValueError("want a card with rows under '## Accuracy', got none")
    return "\n".join(lines) + "\n"


def with_table(readme: str, table: str) -> str:
    """Return the text of README with `table` between its two comments.

    Raises:
        ValueError: it lacks them.
    """
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"want {_BEGIN.strip()} and {_END.strip()} in README, got none")
    return f"{before}{begin}\n{table}\n{end}{after}"


def main() -> int:
    """Rewrite README's table."""
    path = _ROOT / "README.md"
    text = with_table(path.read_text("utf-8"), groups_table(default_card()))
    write_whole(path, text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
