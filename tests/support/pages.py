"""Blocks of code on a page of the documentation."""

import re
from pathlib import Path


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Returns the title of the chapter, the language and the text of each block, in their order."""
    found, title = [], ""
    for heading, language, text in re.findall(
        r"^## ([^\n]+)$|^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    ):
        title = heading or title
        if not heading:
            found.append((title, language, text))
    return found
