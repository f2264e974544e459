"""Where `vedette upload_scorer` sends a file, and with which key."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from vedette.upload import upload


class Server(ThreadingHTTPServer):
    answer: tuple[int, dict[str, Any]] = (
        201,
        {"result": "created", "name": "Mine", "version": "ab12", "project": "", "log": "built in 1 s"},
    )
    heard: dict[str, Any]


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            here.heard = {"path": self.path, "key": self.headers["authorization"], **body}
            status, told = here.answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None:
            pass

    here = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=here.serve_forever, args=(0.01,), daemon=True).start()
    yield here
    here.shutdown()
    here.server_close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text("größer = 1\n", encoding="utf-8")
    (tmp_path / "key").write_text("from a file\n")
    return tmp_path / "mine.py"


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_the_file_its_requirements_and_options_are_sent(
    server: Server, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file.parent / "r.txt").write_text("openai\n")
    options = ("-p", "my shop", "--name", "Other", "--overwrite")
    environ = {"VEDETTE_API_URL": url(server), "VEDETTE_API_KEY": "k"}
    assert upload([str(file), str(file.parent / "r.txt"), *options], environ) == 0
    assert server.heard == {
        "path": "/api/v1/scorers?project=my%20shop", "key": "Bearer k", "code": "größer = 1\n", "requirements": "openai\n",
        "name": "Other", "overwrite": True,
    }  # fmt: skip
    out, err = capsys.readouterr()
    assert (out, "built in 1 s" in err) == ("created: scorer 'Mine' version ab12 for all projects\n", True)


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"VEDETTE_API_URL": "HERE", "VEDETTE_API_KEY": "ingest", "VEDETTE_ADMIN_KEY": "admin"}, "admin"),
        ({"VEDETTE_API_URL": "HERE", "VEDETTE_API_KEY": "ingest", "VEDETTE_ADMIN_KEY_FILE": "FILE"}, "from a file"),
        ({"JUDGMENT_API_URL": "HERE", "JUDGMENT_API_KEY": "j", "VEDETTE_ADMIN_KEY": "alone"}, "j"),
    ],
)
def test_the_key_comes_from_the_same_family_as_the_url(
    server: Server, file: Path, environ: dict[str, str], key: str
) -> None:
    values = {"HERE": url(server), "FILE": str(file.parent / "key")}
    assert upload([str(file)], {name: values.get(value, value) for name, value in environ.items()}) == 0
    assert server.heard["key"] == f"Bearer {key}"


def test_what_the_server_refuses_is_told_and_nothing_is_on_stdout(
    server: Server, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = (422, {"error": "build_failed", "message": "line 3: it is broken"})
    assert upload([str(file)], {"VEDETTE_API_URL": url(server), "VEDETTE_API_KEY": "k"}) == 1
    out, err = capsys.readouterr()
    assert (out, err.endswith("line 3: it is broken\nnothing was uploaded\n")) == ("", True)


def test_without_a_server_or_a_file_the_way_out_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = {"VEDETTE_API_URL": "http://127.0.0.1:9", "VEDETTE_API_KEY": "k"}
    (file.parent / "latin.py").write_bytes(b"\xe4")
    for path, environ, told in (
        (file, gone, "does not answer"),
        (file.parent / "none.py", gone, "No such file"),
        (file.parent / "latin.py", gone, "it is no UTF-8 (byte 0)"),
        (file, {"VEDETTE_DATA_DIR": str(file.parent / "nothing")}, "start a stack: `vedette up`"),
    ):
        assert upload([str(path)], environ) == 1
        assert told in capsys.readouterr().err
