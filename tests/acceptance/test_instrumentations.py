"""The programs of docs/opentelemetry.md with the real instrumentations, in environments of their own; INSTRUMENTED_VENVS keeps them."""

import os
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model import answering, chat
from tests.support.pages import blocks
from tests.support.served import Served, served

pytestmark = [pytest.mark.integration, pytest.mark.faults]

PAGE = blocks(Path(__file__).parents[2] / "docs" / "opentelemetry.md")
PACKAGES = {
    "otel": (
        "opentelemetry-distro", "opentelemetry-exporter-otlp-proto-http", "openinference-instrumentation-openai", "openai",
        "pydantic-ai-slim[openai]", "logfire",
    ),
    "openllmetry": ("opentelemetry-instrumentation-openai", "opentelemetry-exporter-otlp-proto-http", "openai"),
}  # fmt: skip
"""By environment: `opentelemetry-instrument` would load both instrumentations of one client."""

WITHOUT_CODE = """
from openai import OpenAI
OpenAI().chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Where is it?"}])
"""


def of(chapter: str) -> str:
    (found,) = [text for title, _, text in PAGE if title == chapter]
    return found


def programs(name: str, folder: Path) -> Path:
    """The programs of an environment; INSTRUMENTED_VENVS keeps them from run to run."""
    where = Path(os.environ.get("INSTRUMENTED_VENVS", folder)) / name
    if not (where / "installed").exists():
        venv.create(where, with_pip=True)
        subprocess.run([str(where / "bin" / "pip"), "install", "-q", *PACKAGES[name]], check=True, timeout=900)
        (where / "installed").touch()
    return where / "bin"


@pytest.fixture(scope="module")
def server(kafka: str, clickhouse: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(kafka, clickhouse, tmp_path_factory.mktemp("plain"), "streams.api.job", "normalise", "store") as server:
        yield server


@pytest.mark.parametrize(
    ("chapter", "dialect", "agent"),
    [
        ("OpenInference", "openinference", ""),
        ("OpenLLMetry", "otel-genai", ""),  # it speaks the conventions by now
        ("Pydantic AI and Logfire", "pydantic-ai", "Clerk"),
        ("Automatic instrumentation", "", ""),
    ],
)
def test_a_call_of_a_model_is_told_with_model_tokens_input_and_output(
    server: Served, tmp_path: Path, chapter: str, dialect: str, agent: str
) -> None:
    project = chapter.split(maxsplit=1)[0].lower()
    text, installed = of(chapter), programs("openllmetry" if chapter == "OpenLLMetry" else "otel", tmp_path)
    (tmp_path / "app.py").write_text(
        WITHOUT_CODE if chapter.startswith("Automatic") else text.replace('"shop"', f'"{project}"')
    )
    run = text if chapter.startswith("Automatic") else "python app.py"
    variables = of("Variables alone").replace("http://127.0.0.1:4318", server.url).replace("=shop", f"={project}")
    with answering(chat("On its way.")) as provider:
        told = {
            "PATH": f"{installed}:/usr/bin:/bin", "HOME": str(tmp_path), "VEDETTE_API_KEY": server.key, "OPENAI_API_KEY": "sk-none",
            "OPENAI_BASE_URL": provider, "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "-ec", f"{variables}\n{run}"], cwd=tmp_path, env=told, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stdout + done.stderr
    statement = f"SELECT dialect, model, input_tokens, output_tokens, agent, input, output FROM {{ours:Identifier}}.spans FINAL WHERE project = '{project}' AND kind = 'llm'"
    server.installation.until(lambda: len(server.rows(statement)) == 1)
    (found,) = server.rows(statement)
    assert (found[1], found[2], found[3], found[4]) == ("gpt-5-mini-2025-08-07", 21, 7, agent)
    assert ("Where is it?" in found[5], "On its way." in found[6]) == (True, True)
    assert found[0] == dialect or not dialect
