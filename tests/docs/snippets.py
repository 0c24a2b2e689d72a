"""The blocks of code in the documentation, by page and language."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"
PLUGIN_READMES = sorted(PROJECT.glob("plugins/*/README.md"))
PAGES = sorted((PROJECT / "docs").glob("*.md"))

_FENCE = re.compile(r"^( *)(`{3,})([^\n]*)\n(.*?)^\1\2`*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """One fenced block."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


def snippets(*pages, language=None):
    """Every block of `pages`, of one language or all."""
    found = []
    for page in pages:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Snippet(page, line, match[3].strip(), match[4]))
    return [one for one in found if language is None or one.language == language]


def toml(path):
    return tomllib.loads(path.read_text())
