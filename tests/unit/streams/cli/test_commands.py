"""Commands as a shell sees them: exit codes, stdout and stderr."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import jobs, reader
from streams.cli.app import GROUPS, app
from streams.cli.completion import READABLE
from streams.settings import Settings

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("VEDETTE_", "JUDGMENT_"))}


def vedette(cwd: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vedette.cli", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=CLEAN | environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_group_without_a_verb_prints_its_help_and_succeeds() -> None:
    runner = CliRunner()
    for name, (_, verbs) in GROUPS.items():
        result = runner.invoke(app, [name])
        assert (result.exit_code, [verb for verb in verbs if verb not in result.stdout]) == (0, [])
    everything = runner.invoke(app, [])
    assert everything.exit_code == 0
    assert [job for job in jobs.JOBS if job not in everything.stdout] == []


def test_every_command_explains_itself() -> None:
    runner = CliRunner()
    names = [
        "up",
        "down",
        "status",
        "apply",
        "diff",
        "get",
        "delete",
        "schema",
        "topics",
        "migrate",
        "tail",
        *jobs.JOBS,
    ]
    for name in [
        *([name] for name in names),
        *([group, verb] for group, (_, verbs) in GROUPS.items() for verb in verbs),
    ]:
        result = runner.invoke(app, [*name, "--help"])
        assert (name, result.exit_code) == (name, 0)


def test_the_flags_of_a_job_are_settings_and_every_job_has_a_module() -> None:
    assert [flag for flag in jobs.FLAGS if flag not in Settings.model_fields] == []
    root = Path(__file__).parents[4]
    files = [module.replace(".", "/") + ".py" for module, _ in jobs.JOBS.values()]
    assert [file for file in files if not (root / file).is_file()] == []


def test_what_can_be_followed_is_what_can_be_read() -> None:
    assert tuple(reader.TOPICS) == READABLE


def test_wrong_usage_leaves_with_2(tmp_path: Path) -> None:
    tried = {
        "unknown command": ["nonsense"],
        "missing argument": ["get"],
        "missing option": ["apply"],
        "unknown class": ["score", "--class", "nonsense"],
        "unknown topic": ["tail", "nonsense"],
        "both kinds of projects": ["keys", "create", "--scope", "read", "--all-projects", "--project", "p"],
        "wrong setting": ["api", "--api-port", "many"],
    }
    results = {name: vedette(tmp_path, *arguments) for name, arguments in tried.items()}
    assert {name: (result.returncode, result.stdout) for name, result in results.items()} == dict.fromkeys(
        tried, (2, "")
    )
    assert "VEDETTE_API_PORT: Input should be a valid integer" in results["wrong setting"].stderr


def test_without_a_stack_every_command_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text(
        "apiVersion: vedette/v1\nkind: Rule\nmetadata: {name: n}\nspec: {when: {any: [{tag: x}]}}\n"
    )
    for arguments in (["apply", "-f", "empty.yaml"], ["get", "rule"], ["keys", "ls"], ["alerts", "ls"]):
        result = vedette(tmp_path, *arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == (
            "there is no Vedette to talk to: .vedette holds no stack. Start one with `vedette up`, name another with "
            "--data-dir, or set VEDETTE_API_URL and VEDETTE_ADMIN_KEY\n"
        )
    half = vedette(tmp_path, "get", "rule", VEDETTE_API_URL="http://127.0.0.1:1")
    assert half.stderr.endswith("; VEDETTE_API_URL is set, VEDETTE_ADMIN_KEY is not\n")
    for arguments in (["topics"], ["migrate"], ["dlq", "ls"], ["tail"]):
        result = vedette(tmp_path, *arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("there is no Kafka to talk to: .vedette holds no stack.")
    assert list(tmp_path.iterdir()) == [tmp_path / "empty.yaml"]


def test_an_api_that_does_not_answer_is_told_in_one_sentence(tmp_path: Path) -> None:
    result = vedette(tmp_path, "get", "rule", VEDETTE_API_URL="http://127.0.0.1:1", VEDETTE_ADMIN_KEY="k")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "the api at http://127.0.0.1:1 does not answer ([Errno 111] Connection refused); see `vedette status`\n"
    )


def test_a_stack_that_never_ran_is_stopped(tmp_path: Path) -> None:
    told = vedette(tmp_path, "status", "--json")
    assert (told.returncode, json.loads(told.stdout)) == (0, {"state": "stopped", "data_dir": ".vedette", "jobs": {}})
    down = vedette(tmp_path, "down", "--data-dir", "elsewhere")
    assert (down.returncode, down.stdout, down.stderr) == (0, "", "nothing runs on elsewhere\n")


def test_documents_are_checked_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "rule.yaml").write_text("apiVersion: vedette/v1\nkind: Rule\nmetadata: {name: n}\nspec:\n  whn: 1\n")
    result = vedette(tmp_path, "apply", "-f", "rule.yaml")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "rule.yaml:4:1: spec: `when` is missing",
        "rule.yaml:5:3: spec.whn: unknown key; did you mean `when`?",
    ]


def test_the_schema_is_json_on_stdout(tmp_path: Path) -> None:
    result = vedette(tmp_path, "schema")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["title"] == "Vedette configuration document"


def test_nothing_is_coloured_when_nobody_looks(tmp_path: Path) -> None:
    for arguments in ([], ["keys"], ["get"], ["status"]):
        result = vedette(tmp_path, *arguments)
        assert "\x1b" not in result.stdout + result.stderr


def test_a_command_does_not_import_what_only_jobs_need() -> None:
    code = "import sys, streams.cli.app; print([m for m in sys.modules if m in %r])"
    heavy = [
        "faust",
        "confluent_kafka",
        "clickhouse_connect",
        "granian",
        "aiohttp",
        "pydantic",
        "fastavro",
        "streams.settings",
    ]
    told = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--version"], ["-V"]])
def test_the_version_is_the_sdks(tmp_path: Path, arguments: list[str]) -> None:
    assert vedette(tmp_path, *arguments).stdout == "vedette 0.1.0\n"


def test_env_prints_what_is_set_and_fails_when_nothing_is(tmp_path: Path) -> None:
    found = vedette(tmp_path, "env", VEDETTE_API_URL="http://x", VEDETTE_API_KEY="it's")
    assert (found.returncode, found.stdout) == (
        0, "export VEDETTE_API_URL='http://x'\nexport VEDETTE_API_KEY='it'\\''s'\n",
    )  # fmt: skip
    nothing = vedette(tmp_path, "env")
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_the_entry_point_is_the_application() -> None:
    assert [found.load() for found in entry_points(group="vedette.commands")] == [app]


def test_the_sdk_alone_says_what_brings_the_other_commands(tmp_path: Path) -> None:
    code = "import vedette.cli as c; c.GROUP = 'nothing.here'; raise SystemExit(c.main(%r))"
    alone = [
        subprocess.run([sys.executable, "-c", code % (given,)], capture_output=True, text=True, check=False)
        for given in (["up"], [], ["--version"])
    ]
    assert [one.returncode for one in alone] == [2, 0, 0]
    assert "`vedette up` comes with the pipeline" in alone[0].stderr
    assert "usage: vedette" in alone[1].stdout


def test_the_command_of_a_consumer_group_starts_a_process_for_it() -> None:
    groups = {
        "score-code": "score --class code",
        "score-code-judge": "score --class code,judge",
        "store-spans": "store",
    }
    assert {group: jobs.command_of(group) for group in groups} == groups
