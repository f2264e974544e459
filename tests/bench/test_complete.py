"""The job `complete` beside a loop that only reads and decodes the same records: spans per CPU-second, by what is asked of them.

Where nothing is asked of traces the sampler writes nothing for it; what that look costs is printed, too.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson
import pytest

from schemas.codec import Schemas, encode
from schemas.contents import SpanContents
from schemas.documents.rule import RuleSpec
from schemas.documents.scorer import ScorerSpec
from schemas.ids import record_key
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from streams import kafka
from streams.logic.plan import Plan, contents_of, plan
from tests.bench.backlog import Group, StandingStill
from tests.bench.figures import cpu_seconds, rss_bytes, told
from tests.support.jobs import Installation
from tests.support.records import Document, configured

TRACES, SPANS_OF_A_TRACE, CHUNKS, ROUNDS = 1_000, 20, 4, 5
SPANS = TRACES * SPANS_OF_A_TRACE

ASKED: dict[str, Document] = {
    "nothing": ("Rule", "r", RuleSpec.model_validate({"when": {"any": [{"scorer": "s", "is": "fails"}]}})),
    "context": (
        "Rule", "r", RuleSpec.model_validate({"when": {"any": [{"scorer": "s", "is": "fails"}]}, "group_by": ["session"]})
    ),
    "whole": ("Scorer", "s", ScorerSpec.model_validate({"type": "not-empty", "online": [{"target": "trace"}]})),
}  # fmt: skip

pytestmark = pytest.mark.bench


def chunks(seed: int, now: int) -> Iterable[TraceChunk]:
    """Traces of one root and its calls, of 1 kB each, in four exports; the root comes last and alone has the session."""
    text = orjson.dumps([{"role": "user", "content": "where is my parcel? " * 40}]).decode()
    for number in range(TRACES):
        trace = f"{seed * TRACES + number + 1:032x}"
        ids = [f"{place + 1:016x}" for place in range(SPANS_OF_A_TRACE)]
        calls = [
            Span(
                span_id=one, parent_span_id=ids[0], kind="llm", name="chat", input=text, output="yes", agent="clerk",
                attrs={"gen_ai.system": "openai", "gen_ai.response.id": one}, input_tokens=9, output_tokens=1,
                start_time=now * 1000, duration_us=1000,
            )
            for one in ids[1:]
        ]  # fmt: skip
        spans = [*calls, Span(span_id=ids[0], kind="agent", agent="clerk", session_id="s-1", start_time=now * 1000)]
        for first in range(0, SPANS_OF_A_TRACE, SPANS_OF_A_TRACE // CHUNKS):
            yield TraceChunk(
                project="default", trace_id=trace, ingested_at=now, resources=({"service.name": "shop"},),
                spans=tuple(spans[first : first + SPANS_OF_A_TRACE // CHUNKS]),
            )  # fmt: skip


def plan_of(asked: str) -> Plan:
    return plan(configured(ASKED[asked]), "default", 10_000)


def put(installation: Installation, asked: str, seed: int) -> None:
    found = plan_of(asked)
    for chunk in chunks(seed, time.time_ns() // 1_000_000):
        contents = contents_of(found, chunk)
        assert contents is not None
        installation.put(Topic.SPAN_CONTENTS, record_key("default", chunk.trace_id), contents)
    installation.flush()


def _rate(pid: int, done: Callable[[], bool], installation: Installation) -> float:
    before = cpu_seconds(pid)
    installation.until(done, patience_s=300, every_s=0.2)
    return SPANS / (cpu_seconds(pid) - before)


@pytest.mark.parametrize("asked", list(ASKED))
def test_what_the_sampler_pays_to_see_what_is_asked_of_traces(asked: str) -> None:
    found, given, schemas = plan_of(asked), list(chunks(0, 10_000)), Schemas()
    encoded = [encode(chunk) for chunk in given]
    ours, baseline = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        for chunk in given:
            contents = contents_of(found, chunk)
            if contents is not None:
                encode(contents)
        between = time.process_time()
        for data in encoded:
            schemas.decode(TraceChunk, data)
        ours.append(SPANS / max(between - began, 1e-9))
        baseline.append(SPANS / (time.process_time() - between))
    goal = "no goal: spans looked at, beside spans decoded, per CPU-second"
    assert told("sampler for complete", goal, ours, baseline, asked=asked, microseconds=round(1e6 / sorted(ours)[ROUNDS // 2], 2)) > 0  # fmt: skip


@pytest.mark.parametrize("asked", ["context", "whole"])
def test_what_a_span_costs_that_is_put_together(installation: Installation, tmp_path: Path, asked: str) -> None:
    kind, name, spec = ASKED[asked]
    installation.configure(kind, name, spec.model_dump(mode="json", by_alias=True))
    installation.in_effect()
    settings, group = installation.settings, f"{installation.settings.topic_prefix}bare"
    (job,) = installation.start("complete")
    script = str(Path(__file__).parent / "bare_loop.py")
    topic = installation.name(Topic.SPAN_CONTENTS)
    command = [sys.executable, script, settings.bootstrap_servers, topic, group, SpanContents.__name__]
    with (tmp_path / "bare.log").open("wb") as log:
        bare = subprocess.Popen(command, stdout=log, stderr=log)
    done = Group(settings, kafka.group_name(settings, "complete"), (Topic.SPAN_CONTENTS,)).is_drained
    bare_done = Group(settings, group, (Topic.SPAN_CONTENTS,)).is_drained
    ours, baseline = [], []
    for round_ in range(ROUNDS):
        with StandingStill(job.process.pid):
            with StandingStill(bare.pid):
                put(installation, asked, round_)
            baseline.append(_rate(bare.pid, bare_done, installation))
        ours.append(_rate(job.process.pid, done, installation))
    bare.terminate()
    bare.wait(10)
    goal = "no goal: what a span costs more than to be read, spans per CPU-second"
    memory = f"{rss_bytes(job.process.pid) / 2**20:.0f} MiB"
    assert told("complete", goal, ours, baseline, asked=asked, microseconds=round(1e6 / sorted(ours)[ROUNDS // 2], 1), memory=memory) > 0  # fmt: skip
