"""The words of the page, by language: one JSON file each in static/texts.

A further language is a further file, `de.json` for German, with the same keys as `en.json`.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

USUAL = "en"


class Texts:
    """All languages, and the pages filled in with their words.

    Args:
        folder: with one JSON file a language; `USUAL` fills in what another one lacks.

    Raises:
        OSError, ValueError: a file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        found = {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
        self._words: dict[str, dict[str, str]] = {
            name: found[USUAL] | words for name, words in found.items()
        }

    def language(self, accepted: str) -> str:
        """The language that a browser likes best, by its Accept-Language (RFC 9110, 12.5.4)."""
        wishes = []
        for place, part in enumerate(accepted.split(",")):
            tag, _, quality = part.partition(";q=")
            try:
                wishes.append((-float(quality or 1), place, tag.strip().lower()))
            except ValueError:
                continue
        for _, _, tag in sorted(wishes):
            for name in (tag, tag.partition("-")[0]):
                if name in self._words:
                    return name
        return USUAL

    def words(self, language: str) -> Mapping[str, str]:
        """The words of a language, by their keys."""
        return self._words[language]

    def fill(self, page: str, language: str) -> str:
        """Put a language's words, as HTML, where `page` says $key; $texts is all as JSON."""
        words = self._words[language]
        # As in any JSON within HTML, nothing may end the script element.
        everything = json.dumps(words, ensure_ascii=False).replace("<", "\\u003c")
        escaped = {
            key: re.sub('[<>&"]', lambda m: f"&#{ord(m[0])};", w) for key, w in words.items()
        }
        return Template(page).substitute(escaped, texts=everything)
