"""`vedette tail` on a real topic: what it shows, and how it ends."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from schemas.ids import record_key
from schemas.rule import Tick
from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from streams.settings import Settings
from tests.support.jobs import Installation
from tests.support.shell import COMMAND, environment, vedette

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def shop(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Eight scores of two projects, a chunk of two agents, a tick, and bytes that are no record."""
    settings = Settings(bootstrap_servers=kafka, topic_prefix="tail.", partitions=2)
    made = Installation(settings, tmp_path_factory.mktemp("tail"))
    for number in range(8):
        score(made, number)
        made.flush()
        time.sleep(0.002)  # Kafka's times are milliseconds
    spans = (Span(span_id="1" * 16, agent="Clerk"), Span(span_id="2" * 16, agent="Porter"))
    chunk = TraceChunk(project="shop", trace_id="a" * 32, ingested_at=1, spans=spans)
    made.put(Topic.SPANS, record_key("shop", "a" * 32), chunk)
    made.put(Topic.SPANS, b"k", b"no record")
    made.put(Topic.RULE_EVENTS, None, Tick(job="count"))
    made.flush()
    yield made
    made.stop()


def score(installation: Installation, number: int) -> None:
    one = Score(
        project="shop" if number % 2 == 0 else "other", score_id=f"s{number}", scorer="polite", scorer_version="1",
        subject_kind="span", subject_id=f"t{number}:1", trace_id=f"t{number}", outcome="fail" if number < 4 else "pass",
        ingested_at=1,
    )  # fmt: skip
    installation.put(Topic.SCORES, record_key(one.project, one.trace_id), one)


def ids(out: str) -> list[str]:
    return [json.loads(line)["score_id"] for line in out.splitlines()]


def test_filters_choose_and_without_follow_it_ends_with_what_is_there(shop: Installation) -> None:
    everything = ids(vedette(shop, "tail", "scores", "--no-follow")[0])
    assert sorted(everything) == [f"s{number}" for number in range(8)]
    chosen = [
        vedette(shop, "tail", "vedette.scores", "--no-follow", *filters)[0]
        for filters in (("-p", "shop", "--outcome", "fail"), ("--trace", "t7"), ("--scorer", "nobody"))
    ]
    assert [sorted(ids(out)) for out in chosen] == [["s0", "s2"], ["s7"], []]
    assert sorted(ids(vedette(shop, "tail", "scores", "--no-follow", "--since", "1h")[0])) == sorted(everything)


def test_the_newest_so_many_are_told_in_the_order_of_their_time(shop: Installation) -> None:
    assert ids(vedette(shop, "tail", "scores", "--no-follow", "-n", "3")[0]) == ["s5", "s6", "s7"]
    assert ids(vedette(shop, "tail", "scores", "--no-follow", "-n", "2", "--outcome", "fail")[0]) == ["s2", "s3"]


def test_lines_are_for_people_and_bytes_that_are_no_record_are_told(shop: Installation) -> None:
    out, _ = vedette(shop, "tail", "spans", "--no-follow", "-o", "line", "--agent", "Porter")
    assert [line.split("  ", 1)[1] for line in out.splitlines()] == [
        f"shop  other  Porter  0 ms  unset  {'a' * 32}:{'2' * 16}"
    ]
    found = [json.loads(line) for line in vedette(shop, "tail", "spans", "--no-follow")[0].splitlines()]
    assert [sorted(one) for one in found if "undecodable" in one] == [["offset", "partition", "undecodable"]]
    assert len(found) == 2
    assert vedette(shop, "tail", "rule-events", "--no-follow") == ("", "")  # a tick is no record


def test_a_filter_that_no_record_can_answer_is_wrong_usage(shop: Installation) -> None:
    _, told = vedette(shop, "tail", "spans", "--outcome", "fail", code=2)
    assert told == "--outcome: what stands on spans tells no such thing\n"
    assert "no duration" in vedette(shop, "tail", "scores", "--since", "yesterday", code=2)[1]


def following(installation: Installation, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "tail", *arguments], cwd=installation.directory, env=environment(installation),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_hears_control_c,  # noqa: PLW1509
    )  # fmt: skip


def _hears_control_c() -> None:
    """Who runs the tests in the background has children that ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_it_follows_until_control_c_and_leaves_without_a_word(shop: Installation) -> None:
    process = following(shop, "scores", "--from-beginning")
    assert process.stdout
    seen = [process.stdout.readline() for _ in range(8)]
    score(shop, 8)
    shop.flush()
    assert json.loads(process.stdout.readline())["score_id"] not in map(str, seen)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_it_ends_when_its_reader_leaves_even_if_nothing_comes(shop: Installation) -> None:
    busy, quiet = following(shop, "scores", "--from-beginning"), following(shop, "alerts")
    for process in (busy, quiet):
        assert process.stdout
        assert process.stderr
        if process is busy:
            process.stdout.readline()
        process.stdout.close()
        assert (process.wait(20), process.stderr.read()) == (0, "")
        process.stderr.close()
