"""Every command that docs/operations.md names exists, with the options that it names."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from streams.cli.app import app
from streams.doctor import examination

PAGE = (Path(__file__).parents[2] / "docs/operations.md").read_text()


def commands() -> list[str]:
    """What stands in blocks as lines, and in the text as code."""
    blocks = re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`(vedette [^`]+)`", re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL))
    return [line for line in [*lines, *spans] if line]


def test_the_page_names_commands() -> None:
    found = commands()
    assert len(found) > 20
    assert {line.split()[0] for line in found} == {"vedette"}


@pytest.mark.parametrize("line", commands())
def test_each_can_be_typed_as_it_stands(line: str) -> None:
    """The words lead to a command, and the command takes them: nothing is run."""
    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    context = command.make_context("vedette", [], resilient_parsing=True)
    while words and (found := getattr(command, "get_command", lambda *_: None)(context, words[0])) is not None:
        command, words = found, words[1:]
        context = type(context)(command, info_name=words[0] if words else "", parent=context)
    if not hasattr(command, "get_command"):
        command.make_context("", list(words))
        return
    options = {option for parameter in command.params for option in parameter.opts}
    assert set(words) <= options, line


def test_the_table_of_checks_is_what_doctor_asks() -> None:
    rows = re.findall(
        r"^\| ((?:`[^`]+`,? ?)+) \|", PAGE.partition("| check | finds |")[2].partition("\n\n")[0], re.MULTILINE
    )
    told = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert sorted(told) == sorted(examination.NAMES)
