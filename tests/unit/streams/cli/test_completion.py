"""What a shell gets at Tab: it calls `vedette` as its script does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streams.cli import completion, lines, reader

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("VEDETTE_", "_"))}
BIN = Path(sys.executable).parent
ANSWERS = {
    "/api/v1/status": {"projects": ["shop", "shelf", "default"]},
    "/api/v1/scorers": {"scorers": [{"name": "Mentions the parcel"}]},
    "/api/v1/documents": {"documents": [{"document": {"metadata": {"name": "Mentions the parcel"}}}]},
}


@pytest.fixture(scope="module")
def api() -> Iterator[dict[str, str]]:
    """The variables of an api that knows three projects and one document of every kind."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(ANSWERS[self.path.partition("?")[0]]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield {"VEDETTE_API_URL": f"http://127.0.0.1:{server.server_port}", "VEDETTE_ADMIN_KEY": "k"}
    server.shutdown()
    server.server_close()


def vedette(cwd: Path, *arguments: str, **environ: str) -> str:
    command = [sys.executable, "-m", "vedette.cli", *arguments]
    done = subprocess.run(command, cwd=cwd, env=CLEAN | environ, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def bash(cwd: Path, words: str, **environ: str) -> list[str]:
    at = str(len(words.split(" ")) - 1)
    asked = {"_VEDETTE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": at}
    return vedette(cwd, **asked, **environ).strip().splitlines()


def zsh(cwd: Path, words: str, **environ: str) -> str:
    return vedette(cwd, _VEDETTE_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=words, **environ)


def test_bash_completes_commands_topics_and_outcomes_without_asking_anybody(tmp_path: Path) -> None:
    assert bash(tmp_path, "vedette doc") == ["doctor"]
    assert bash(tmp_path, "vedette dlq ") == ["ls", "show", "replay"]
    assert bash(tmp_path, "vedette tail al") == ["alerts"]
    assert bash(tmp_path, "vedette tail scores --outcome s") == ["scored", "skipped"]
    assert bash(tmp_path, "vedette dlq replay --topic otlp_") == ["otlp_spans", "otlp_logs"]


def test_names_come_from_the_api_and_blanks_in_them_are_one_word_of_bash(tmp_path: Path, api: dict[str, str]) -> None:
    assert bash(tmp_path, "vedette tail scores -p sh", **api) == ["shop", "shelf"]
    assert bash(tmp_path, "vedette alerts ls --project ", **api) == ["shop", "shelf", "default"]
    assert bash(tmp_path, "vedette tail scores --scorer Men", **api) == [r"Mentions\ the\ parcel"]
    assert zsh(tmp_path, "vedette tail scores --rule ", **api) == "_arguments '*: :((\"Mentions the parcel\"))'\n"


def test_without_an_api_nothing_is_completed_and_nothing_is_said(tmp_path: Path) -> None:
    assert bash(tmp_path, "vedette tail scores -p ") == []
    away = {"VEDETTE_API_URL": "http://127.0.0.1:1", "VEDETTE_ADMIN_KEY": "k"}
    assert bash(tmp_path, "vedette tail scores --scorer ", **away) == []


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_of_a_shell_is_shown_and_installed(tmp_path: Path, shell: str) -> None:
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}  # else that of our parent
    shown = vedette(tmp_path, "--show-completion", shell, **named)
    assert f"_VEDETTE_COMPLETE=complete_{shell}" in shown
    vedette(tmp_path, "--install-completion", shell, **named)
    written = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    assert f"_VEDETTE_COMPLETE=complete_{shell}" in written


def test_the_script_works_in_a_real_bash(tmp_path: Path) -> None:
    script = (
        "source <(vedette --show-completion bash); COMP_WORDS=(vedette tail score-r); COMP_CWORD=2; "
        '_vedette_completion vedette; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = {"PATH": f"{BIN}:{CLEAN['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tmp_path, env=CLEAN | path, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.split() == ["score-requests.code", "score-requests.hosted", "score-requests.judge"]


def test_what_is_completed_is_what_is_taken() -> None:
    assert tuple(reader.TOPICS) == completion.READABLE
    assert set(lines._TELLERS) == {cls for _, cls in reader.TOPICS.values()}
