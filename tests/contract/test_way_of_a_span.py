"""The page `docs/way-of-a-span.md` is held to the code."""

import ast
import re
from pathlib import Path

from schemas.topics import Topic

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/way-of-a-span.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py):(\w+)`", PAGE)
STEPS = re.findall(r"^\| (\d) \| `([\w/]+\.py):(\w+)` \|.*\| `([\w.-]+)` \|$", PAGE, re.MULTILINE)


def _functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_function_that_the_page_names_exists() -> None:
    assert len(NAMED) >= 13
    assert [f"{file}:{name}" for file, name in NAMED if name not in _functions(file)] == []


def test_the_seven_steps_stand_in_their_order_and_name_the_topics_they_write() -> None:
    assert [int(number) for number, *_ in STEPS] == [1, 2, 3, 4, 5, 6, 7]
    assert [topic for *_, topic in STEPS] == [
        Topic.OTLP_SPANS, Topic.SPANS, Topic.REQUESTS_CODE, Topic.SCORES, Topic.RULE_EVENTS, Topic.ALERTS, Topic.DELIVERIES,
    ]  # fmt: skip


def test_every_file_that_writes_a_step_names_its_topic() -> None:
    for _, file, _, topic in STEPS:
        folder = (ROOT / file).parent if "bridge" in file else ROOT / file
        text = "".join(p.read_text() for p in folder.glob("*.py")) if folder.is_dir() else folder.read_text()
        assert f"Topic.{Topic(topic).name}" in text, f"{file} does not write {topic}"


def test_the_page_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= 40
