"""The page's words come from one file a language."""

import json
import re
from pathlib import Path

import pytest

from structures import Gender, SourceState
from tests.web_parts import ask, served
from web.server import STATIC
from web.texts import USUAL, Texts

ENGLISH = json.loads((STATIC / "texts/en.json").read_text("utf-8"))


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    (tmp_path / "en.json").write_text(json.dumps({"language": "en", "a": "one", "b": "two"}))
    (tmp_path / "de.json").write_text(json.dumps({"language": "de", "a": 'eins <&"$'}))
    return Texts(tmp_path)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", USUAL), ("de", "de"), ("de-CH,de;q=0.9,en;q=0.8", "de"),
        ("fr,en;q=0.5,de;q=0.7", "de"), ("fr", USUAL),
        ("de;q=nonsense", USUAL), ("DE", "de"), (";;,,", USUAL), ("../en", USUAL),
    ],
)  # fmt: skip
def test_the_browser_chooses_among_the_files(texts: Texts, accepted: str, language: str) -> None:
    assert texts.language(accepted) == language


def test_a_language_may_lack_words_and_none_can_end_the_page(texts: Texts) -> None:
    page = texts.fill('<p lang="$language">$a $b</p><script>$texts</script>', "de")
    assert page.startswith('<p lang="de">eins &#60;&#38;&#34;$ two</p>')
    held = json.loads(page.partition("<script>")[2].removesuffix("</script>"))
    assert held == {"language": "de", "a": 'eins <&"$', "b": "two"}
    assert "<" not in page.partition("<script>")[2].removesuffix("</script>")


def test_every_word_of_the_page_is_in_the_file_and_every_one_is_used() -> None:
    html = "".join((STATIC / name).read_text("utf-8") for name in ("index.html", "login.html"))
    code = "".join(path.read_text("utf-8") for path in STATIC.glob("*.js"))
    asked = set(re.findall(r"\$(\w+)", html)) - {"texts"}
    said = set(re.findall(r'say\(\w+ \? "(\w+)" : "(\w+)"|"(\w+)"', code))
    used = asked | {key for found in said for key in found if key}
    assert asked <= set(ENGLISH)
    values = {*Gender, *(f"state_{state}" for state in SourceState), "state_ended"}
    assert set(ENGLISH) - used == values - used
    assert values <= set(ENGLISH)


def test_the_page_comes_in_english_unless_there_is_another_file() -> None:
    with served() as view:
        body = ask(view, "", headers={"Accept-Language": "xx, en;q=0.1"})[2]
    assert '<html lang="en">' in body
    assert "People now" in body
    assert not re.search(r"\$[a-z_]+", body)
