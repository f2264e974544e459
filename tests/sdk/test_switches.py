"""On and off: by the environment, by the program, at any moment; and where a tracer reports."""

import logging
import subprocess
import sys

import pytest
from vedette import Tracer, address
from vedette.recording import is_on, llm_span

from tests.sdk.server import KEY, Server, until


def _call(tracer: Tracer) -> None:
    with tracer.span("call"):
        tracer.async_evaluate("s", {"a": 1})


@pytest.mark.parametrize("value", ["false", "0", "no", "off", "False", " OFF "])
@pytest.mark.parametrize("name", ["VEDETTE_MONITORING", "JUDGMENT_MONITORING", "JUDGMENT_ENABLE_MONITORING"])
def test_monitoring_that_is_off_sends_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    tracer = Tracer(api_url=server.url, api_key=KEY)
    _call(tracer)
    tracer.shutdown()
    assert server.requests == []


@pytest.mark.parametrize("name", ["VEDETTE_EVALUATIONS", "JUDGMENT_EVALUATIONS", "JUDGMENT_ENABLE_EVALUATIONS"])
def test_evaluations_that_are_off_leave_the_spans(server: Server, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "false")
    tracer = Tracer(api_url=server.url, api_key=KEY)
    _call(tracer)
    tracer.shutdown()
    assert (len(server.spans()), len(server.examples())) == (1, 0)


@pytest.mark.parametrize("value", ["true", "1", "yes", ""])
def test_other_values_leave_it_on(server: Server, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("VEDETTE_MONITORING", value)
    tracer = Tracer(api_url=server.url, api_key=KEY)
    assert tracer.core.on
    tracer.shutdown()


def test_the_environment_is_read_again_while_the_program_runs(tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGMENT_EVALUATIONS", "off")
    until(lambda: not tracer.core.judging)
    assert tracer.core.on
    monkeypatch.setenv("VEDETTE_MONITORING", "off")
    until(lambda: not tracer.core.on)
    monkeypatch.delenv("VEDETTE_MONITORING")
    monkeypatch.delenv("JUDGMENT_EVALUATIONS")
    until(lambda: tracer.core.on and tracer.core.judging)


def test_the_program_turns_it_off_and_on_at_once(tracer: Tracer, server: Server) -> None:
    tracer.disable()
    _call(tracer)
    assert not is_on(tracer)
    tracer.enable()
    assert is_on(tracer)
    _call(tracer)
    tracer.force_flush()
    assert (len(server.spans()), len(server.examples())) == (1, 1)


def test_the_constructor_turns_off_what_enable_cannot_turn_on(server: Server) -> None:
    tracer = Tracer(api_url=server.url, api_key=KEY, enable_evaluation=False)
    tracer.enable()
    _call(tracer)
    tracer.shutdown()
    assert (len(server.spans()), len(server.examples())) == (1, 0)


def test_without_an_address_the_program_runs_and_is_told_how_to_give_one(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "vedette"):
        tracer = Tracer(project_name="shop")
    _call(tracer)
    assert tracer.observe(lambda n: n + 1)(1) == 2
    assert tracer.inject() == {}
    assert tracer.force_flush()
    assert tracer.shutdown()
    assert not tracer.core.on
    assert "VEDETTE_API_URL" in caplog.text


def test_what_is_off_answers_like_what_is_on(server: Server) -> None:
    tracer = Tracer(api_url=server.url, api_key=KEY, enable_monitoring=False)
    span = llm_span(tracer, "chat", {"gen_ai.request.model": "m"})
    span.set(**{"gen_ai.response.model": "m", "nothing": None})
    span.event("token", {"n": 1})
    span.fail(ValueError("x"))
    span.end()
    assert (span.trace_id, span.span_id) == ("", "")
    tracer.shutdown()
    assert server.requests == []


def test_a_tracer_that_was_shut_down_leaves_the_program_alone(tracer: Tracer, server: Server) -> None:
    _call(tracer)
    assert tracer.shutdown()
    _call(tracer)
    tracer.enable()
    assert not is_on(tracer)
    assert tracer.shutdown()
    assert len(server.spans()) == 1


OWN = {"VEDETTE_API_URL": "http://own", "VEDETTE_API_KEY": "ours"}
JUDGMENT = {"JUDGMENT_API_URL": "http://judgment", "JUDGMENT_API_KEY": "theirs", "JUDGMENT_ORG_ID": "org"}
OTEL = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318/",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20otels,x=1",
}


@pytest.mark.parametrize(
    ("given", "environ", "found"),
    [
        (("http://c", "k"), {**OWN, **JUDGMENT}, ("http://c", "k")),
        ((None, None), {**OTEL, **JUDGMENT, **OWN}, ("http://own", "ours")),
        ((None, None), {**OTEL, **JUDGMENT, "VEDETTE_API_URL": "http://own"}, ("http://judgment", "theirs")),
        ((None, None), {**OTEL, **JUDGMENT, "VEDETTE_API_KEY": "ours"}, ("http://judgment", "theirs")),
        ((None, None), {**OTEL, "JUDGMENT_API_KEY": "theirs"}, ("http://otel:4318", "otels")),
        ((None, "k"), {**OWN}, ("http://own", "k")),
        (("http://own", None), {**OWN}, ("http://own", "ours")),
        (
            ("http://stranger", None),
            {**JUDGMENT, "VEDETTE_API_KEY": "ours", "VEDETTE_API_URL": "http://own"},
            ("http://own", "ours"),
        ),
        ((None, "k"), {**JUDGMENT}, ("http://judgment", "theirs")),
        (("http://c", None), {}, None),
        ((None, "k"), {}, None),
        (("ftp://c", "k"), {}, None),
        (("no url", "k"), {}, None),
        (("http://c", "k\ney"), {}, None),
    ],
)
def test_url_and_key_come_from_one_family(
    given: tuple[str, str], environ: dict[str, str], found: tuple[str, str] | None
) -> None:
    address_found = address.find(*given, environ)
    assert (address_found and (address_found.base, address_found.key)) == found
    if address_found is not None and found is not None:
        assert address_found.headers["authorization"] == f"Bearer {found[1]}"
        assert found[1] not in repr(address_found)


def test_the_key_may_stand_in_a_file(tmp_path: object) -> None:
    file = f"{tmp_path}/key"
    with open(file, "w") as opened:  # noqa: PTH123
        opened.write("from-a-file\n")
    found = address.find(None, None, {"VEDETTE_API_URL": "http://own", "VEDETTE_API_KEY_FILE": file})
    assert found is not None
    assert found.key == "from-a-file"


PROVIDERS = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from vedette import Tracer
own = InMemorySpanExporter()
if sys.argv[2] == "theirs":
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(own))
    trace.set_tracer_provider(provider)
tracer = Tracer(project_name="shop", api_url=sys.argv[1], api_key="key-of-the-tests", environment="production")
second = Tracer(project_name="second", api_url=sys.argv[1], api_key="key-of-the-tests")
if sys.argv[2] == "theirs":
    assert trace.get_tracer_provider() is provider
library = trace.get_tracer("library")
with tracer.span("ours"), library.start_as_current_span("library's"):
    pass
if sys.argv[2] == "theirs":
    assert {span.name for span in own.get_finished_spans()} == {"ours", "library's"}
"""


@pytest.mark.parametrize("provider", ["theirs", "none"])
def test_an_applications_provider_stays_and_without_one_ours_is_the_global_one(server: Server, provider: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROVIDERS, server.url, provider], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert {span.name for span in server.spans()} == {"ours", "library's"}
    assert len(server.spans()) == 2, "none twice, though there are two tracers"
    assert {span.attributes["vedette.environment"] for span in server.spans()} == {"production"}
    assert {one.headers["x-vedette-project"] for one in server.requests} == {"shop"}
