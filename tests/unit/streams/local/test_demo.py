"""The demo's documents, agent and story."""

import json
from importlib import resources
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas.config import ConfigEntry
from scorers.hosted.bundle import inspect
from streams.api.documents import checked, kind_of, plan
from streams.cli.client import ApiError, Client
from streams.local import demo
from streams.local.demo import agent
from streams.local.narrative import Record, alert_text, slack_text, subject
from streams.logic.configuration import Configuration

PORTS = {"DEMO_SLACK_PORT": "4001", "DEMO_SMTP_PORT": "4002", "DEMO_OPENAI_PORT": "4003"}


def test_the_documents_are_valid_and_refer_to_each_other() -> None:
    built_in = demo.documents(PORTS, ["scorer.yaml"])
    documents = checked([*built_in, *demo.documents(PORTS)], lambda *_: None)
    assert [(kind_of(d), d.metadata.project, d.metadata.name) for d in documents] == [
        ("Scorer", "demo", "Package Inquiry Scorer"),
        ("Destination", "demo", "oncall-slack"),
        ("Destination", "demo", "oncall-mail"),
        ("Provider", "demo", "openai"),
        ("Rule", "demo", "Package Inquiry Failures"),
    ]
    planned = plan(documents, Configuration(), "demo", has_smtp=False)
    assert [one.warnings for one in planned] == [()] * 5
    entries: list[ConfigEntry] = [one.entry for one in planned]
    assert b"http://127.0.0.1:4001/api/" in entries[1].spec
    assert b'"port":4002' in entries[2].spec


def test_the_scorer_that_is_uploaded_is_the_one_that_the_rule_watches() -> None:
    found = inspect(resources.files(demo).joinpath("customer_service_scorer.py").read_text())
    assert (found.class_name, found.kind) == ("PackageInquiryScorer", "example")
    assert f'name: str = "{demo.SCORER}"' in resources.files(demo).joinpath("customer_service_scorer.py").read_text()


class NoRunner(Client):
    """An api that can build nothing."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "key")
        self.applied: list[str] = []

    def within(self, *_: object) -> Client:
        return self

    def post(self, *_: object, **__: object) -> object:
        raise ApiError(422, {"message": "no packages\nopenai: the index does not answer"})

    def put(self, _: str, body: list[dict[str, dict[str, str]]], **__: object) -> object:
        self.applied += [document["metadata"]["name"] for document in body]
        return {}


def test_without_a_build_the_demo_says_why_and_goes_on_with_the_built_in_scorer() -> None:
    told: list[str] = []
    api = NoRunner()
    demo.upload(api, PORTS, told.append)
    assert "cannot run here: openai: the index does not answer" in told[0]
    assert "the built-in one judges in its place" in told[0]
    assert api.applied == ["Package Inquiry Scorer"]


def test_every_run_tells_the_same_conversations_and_one_in_seven_evades() -> None:
    told = [agent.conversation(number) for number in range(70)]
    assert told == [agent.conversation(number) for number in range(70)]
    words = ("package", "parcel", "shipment", "delivery")
    evading = [talk.number for talk in told if not any(word in talk.answer.lower() for word in words)]
    assert evading == list(range(3, 70, 7))


def test_a_conversation_is_one_trace_of_an_agent_its_tool_and_its_model() -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    agent.hold(provider.get_tracer("test"), agent.conversation(0))
    finished = spans.get_finished_spans()
    assert [span.name for span in finished] == [
        "execute_tool find_order", "chat demo-model-1", "invoke_agent CustomerServiceAgent",
    ]  # fmt: skip
    assert len({span.context.trace_id for span in finished if span.context}) == 1
    provider.shutdown()


def test_a_record_is_read_on_from_where_it_was_left(tmp_path: Path) -> None:
    record = Record(tmp_path / "r.jsonl")
    assert record.new() == []
    record.file.write_text('{"a": 1}\n{"a": 2}\n{"a":')
    assert record.new() == [{"a": 1}, {"a": 2}]
    with record.file.open("a") as out:
        out.write(" 3}\n")
    assert record.new() == [{"a": 3}]
    assert record.new() == []
    fresh = Record(record.file)
    fresh.skip()
    assert fresh.new() == []


def test_messages_are_told_as_people_see_them() -> None:
    assert slack_text({"arguments": {"text": "Firing:\n a rule"}}) == "Firing: a rule"
    assert slack_text({"arguments": {"attachments": [{"fallback": "fallen back"}]}}) == "fallen back"
    assert subject("Subject: =?utf-8?q?Caf=C3=A9?=\n\nbody") == "Café"
    alert = json.loads(
        '{"changed_at": 0, "kind": "fired", "rule": "r", "group_key": "{}", "cause": "3 in 5m, 3 are enough"}'
    )
    assert alert_text(alert).partition("  ")[2] == "alert fired: r {}: 3 in 5m, 3 are enough"
