"""What docs/schemas.md says of records on Kafka is so, and its programs run."""

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from schemas.avro import TOPICS
from schemas.codec import encode
from schemas.example import Example
from schemas.ids import record_key
from schemas.rule import Tick
from schemas.topics import Topic
from tests.support.jobs import Installation
from tests.support.registry import registry

PAGE = (Path(__file__).parents[2] / "docs" / "schemas.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
WITHOUT, WITH = PROGRAMS
EXAMPLE = Example(project="default", example_id="e1", fields=b'{"output": "It is on its way."}')
PLAIN = {name: list(value) if isinstance(value, tuple) else value for name, value in EXAMPLE.model_dump().items()}


def test_the_table_of_records_is_the_one_that_the_code_has() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`.*`) \|$", PAGE, re.MULTILINE)
    assert {name: re.findall("`(.*?)`", topics) for name, topics in rows} == {
        cls.__name__: list(map(str, topics)) for cls, topics in TOPICS.items()
    }


def test_the_tick_is_byte_for_byte_as_it_is_taken_apart() -> None:
    parts = re.findall(r"^\| `([0-9A-F ]{5,})` \| (?:marker|fingerprint|body)", PAGE, re.MULTILINE)
    assert bytes.fromhex("".join(parts)) == encode(Tick(job="count"))


def read_by(program: str, installation: Installation, registry_url: str = "") -> Any:
    """The record that a program prints when it is given the addresses of this installation."""
    own = {
        "127.0.0.1:9092": installation.settings.bootstrap_servers,
        "http://127.0.0.1:8081": registry_url,
        "vedette.": f"{installation.settings.topic_prefix}vedette.",
        '"reader"': f'"{installation.settings.topic_prefix}reader"',
    }
    for shown, actual in own.items():
        assert shown in program or shown.startswith("http"), shown
        program = program.replace(shown, actual)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "docs/schemas.md", "exec"), {})  # noqa: S102 - it is ours
    return ast.literal_eval(printed.getvalue())


@pytest.mark.integration
def test_a_program_without_our_code_reads_what_was_written_without_a_registry(installation: Installation) -> None:
    installation.put(Topic.SCORES, record_key("default", "e1"), EXAMPLE)
    installation.flush()
    assert read_by(WITHOUT, installation) == PLAIN


@pytest.mark.integration
def test_a_program_without_our_code_reads_what_a_job_wrote_by_a_registry(installation: Installation) -> None:
    """The job copies examples to the topic of scores."""
    with registry() as server:
        installation.start("tests.support.echo", schema_registry=server.url)
        installation.put(Topic.EXAMPLES, record_key("default", "e1"), EXAMPLE)
        installation.flush()
        assert read_by(WITH, installation, server.url) == PLAIN
