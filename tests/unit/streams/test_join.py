"""When a span and its content are joined, and when a span no longer waits."""

from collections import Counter

import pytest

from schemas.contents import ContentEvent, SpanContents
from schemas.documents.rule import RuleSpec
from schemas.documents.scorer import ScorerSpec
from schemas.ids import record_key
from schemas.rule import Tick
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams.complete import Traces
from streams.logic.join import AFTER_MS, CALL_MS, FINISH_REASONS, Join
from streams.match import matches
from streams.records import Received
from streams.sample import requests
from streams.ticks import Ticks
from tests.support.contents import TRACE, answered, asked, span_id, told, waiting
from tests.support.records import chunk_received, configured

WAIT_MS = 10_000
TWO_CHOICES = {FINISH_REASONS: '["stop","stop"]'}


class Reader:
    """Reads records into a join, one each millisecond, and notes what goes on."""

    def __init__(self, most_entries: int = 100, most_characters: int = 10_000) -> None:
        self.join = Join(WAIT_MS, most_entries, most_characters)
        self.now, self.offset = 1_000, 0

    def read(self, *records: SpanContents) -> list[TraceChunk]:
        made: list[TraceChunk] = []
        for record in records:
            self.now += 1
            made += self.join.take(record, self.now, self.offset)
            self.offset += 1
        return made

    def after(self, milliseconds: int) -> list[TraceChunk]:
        """A tick comes that much later."""
        self.now += milliseconds
        return self.join.pass_time(self.now)

    @property
    def counted(self) -> dict[str, int]:
        return dict(self.join.counted)


def said(chunks: list[TraceChunk]) -> list[tuple[str | None, str | None]]:
    return [(span.input, span.output) for chunk in chunks for span in chunk.spans]


@pytest.mark.parametrize("turned", [False, True])
def test_a_span_goes_on_when_its_questions_and_its_answer_are_told_in_whatever_order(turned: bool) -> None:
    reader = Reader()
    records = [waiting(0), told(asked(0)), told(answered(0))]
    *early, last = reversed(records) if turned else records
    assert reader.read(*early) == []
    (chunk,) = reader.read(last)
    assert said([chunk]) == [('["hello"]', '["hi"]')]
    assert (chunk.project, chunk.trace_id, chunk.amends, chunk.spans[0].revision) == ("shop", TRACE, False, 2)
    assert reader.counted == {"joined": 1}


def test_messages_stand_in_the_order_of_their_time_however_they_come() -> None:
    events = [answered(0, time=9), asked(0, "second", time=5), asked(0, "first", time=3)]
    assert said(Reader().read(told(*events), waiting(0))) == [('["first","second"]', '["hi"]')]


def test_one_event_may_tell_everything() -> None:
    whole = ContentEvent(span_id=span_id(0), input="[1]", output="[2]", whole=True)
    assert said(Reader().read(waiting(0), told(whole))) == [("[1]", "[2]")]


def test_a_span_waits_for_as_many_answers_as_it_names() -> None:
    reader = Reader()
    assert reader.read(waiting(0, attrs=TWO_CHOICES), told(asked(0), answered(0, "one"))) == []
    assert said(reader.read(told(answered(0, "two", time=3)))) == [('["hello"]', '["one","two"]')]


def test_a_call_that_failed_has_no_answer_to_wait_for() -> None:
    assert said(Reader().read(told(asked(0)), waiting(0, status="error"))) == [('["hello"]', None)]


def test_messages_without_their_text_end_the_wait_and_say_nothing() -> None:
    silent = told(asked(0, silent=True), answered(0, silent=True))
    assert said(Reader().read(waiting(0), silent)) == [(None, None)]


def test_a_span_goes_on_without_content_when_its_time_is_over_and_not_before() -> None:
    reader = Reader()
    reader.read(waiting(0), told(asked(1)), waiting(1))
    assert reader.after(WAIT_MS - 3) == []
    assert said(reader.after(3)) == [(None, None), ('["hello"]', None)]
    assert reader.counted == {"without content": 1, "in part": 1}


def test_what_is_told_after_a_span_went_on_amends_it_and_only_if_it_is_new_and_says_something() -> None:
    reader = Reader()
    reader.read(waiting(0))
    reader.after(WAIT_MS)
    (chunk,) = reader.read(told(asked(0)))
    assert (chunk.amends, chunk.spans[0].revision, said([chunk])) == (True, 1, [('["hello"]', None)])
    assert reader.read(told(asked(0)), told(answered(0, silent=True))) == []
    reader.after(AFTER_MS)
    assert reader.read(told(answered(0))) == []


def test_the_same_span_sent_again_goes_on_once() -> None:
    assert len(Reader().read(told(asked(0), answered(0)), waiting(0), waiting(0))) == 1


def test_spans_of_one_record_are_joined_each_by_itself_with_its_own_resource() -> None:
    reader = Reader()
    both = waiting(0, 1)
    assert both.waiting is not None
    resources = ({"service.name": "a"}, {"service.name": "b"})
    spans = (both.waiting.spans[0], both.waiting.spans[1].model_copy(update={"resource": 1}))
    moved = both.waiting.model_copy(update={"resources": resources, "spans": spans})
    reader.read(both.model_copy(update={"waiting": moved}))
    (second,) = reader.read(told(asked(1), answered(1)))
    assert [(span.span_id, span.resource) for span in second.spans] == [(span_id(1), 0)]
    assert second.resources == ({"service.name": "b"},)


def test_the_same_ids_in_another_project_are_another_span() -> None:
    assert Reader().read(waiting(0), told(asked(0), answered(0), project="other")) == []


def test_a_long_call_finds_its_questions_again_and_content_without_a_span_is_let_go() -> None:
    reader = Reader()
    reader.read(told(asked(0)), told(answered(1)))
    reader.after(CALL_MS - 5)
    assert reader.counted == {"content without a span": 1}
    assert said(reader.read(waiting(0), told(answered(0)))) == [('["hello"]', '["hi"]')]
    reader.read(told(asked(2)))
    reader.after(CALL_MS)
    assert len(reader.join) == 0
    assert reader.join.since is None


def test_where_to_read_again_is_the_first_record_of_the_oldest_span_that_is_known() -> None:
    reader = Reader()
    reader.read(waiting(0), told(asked(1)), told(asked(0), answered(0)))
    assert reader.join.since == 0
    reader.after(AFTER_MS)
    assert reader.join.since == 1


def test_too_many_spans_go_on_early_and_the_oldest_first() -> None:
    reader = Reader(most_entries=2)
    made = reader.read(waiting(0), waiting(1), waiting(2))
    assert [chunk.spans[0].span_id for chunk in made] == [span_id(0)]
    assert reader.counted == {"too much": 1}
    assert len(reader.join) == 2


def test_what_is_over_makes_room_before_what_waits() -> None:
    reader = Reader(most_characters=90)
    assert reader.read(waiting(0), told(asked(1), answered(1)), told(asked(2, "x" * 80))) == []
    assert reader.counted == {"content without a span": 2}
    assert len(reader.join) == 2


def test_a_span_is_judged_when_it_goes_on_and_never_again_when_it_is_amended() -> None:
    scorer = ScorerSpec.model_validate({"type": "contains", "online": [{"target": "span"}]})
    rule = RuleSpec.model_validate({"when": {"any": [{"metric": "duration_ms", "op": ">=", "value": 0}]}})
    configuration = configured(("Scorer", "s", scorer), ("Rule", "r", rule), project="shop")
    reader = Reader()
    reader.read(waiting(0))
    for chunk in (*reader.after(WAIT_MS), *reader.read(told(asked(0)))):
        received = chunk_received(chunk.model_copy(update={"ingested_at": 10_000}))
        judged = (len(requests(received, configuration)), len(matches([received], configuration)))
        assert judged == ((0, 0) if chunk.amends else (1, 1))


# --- the job's own part ---------------------------------------------------------------------------------------------


def received(record: SpanContents | None, at: int = 0, key: bytes | None = None) -> Received:
    own = key or (record_key(record.project, record.trace_id) if record else None)
    return Received(Topic.SPAN_CONTENTS, 3, 7, at, own, b"", {}, record)


def test_what_goes_on_is_keyed_by_its_trace_and_a_tick_tells_the_time() -> None:
    complete = Traces(configured, WAIT_MS, idle_ms=600_000)
    assert complete.handle([received(waiting(0), at=5)]) == []
    assert complete.held(3) == 7
    (out,) = complete.handle([received(None, at=5 + WAIT_MS)])
    assert (out.topic, out.key) == (Topic.SPANS, record_key("shop", TRACE))
    complete.release(3)
    assert complete.held(3) is None


def test_a_batch_with_a_foreign_key_is_refused_before_anything_of_it_is_folded() -> None:
    complete = Traces(configured, WAIT_MS, idle_ms=600_000)
    with pytest.raises(ValueError, match="the key of a span's contents is"):
        complete.handle([received(waiting(0)), received(waiting(1), key=b"other")])
    assert complete.held(3) is None


def test_ticks_go_to_every_partition_every_five_seconds() -> None:
    times = iter([0.0, 4.9, 5.0])
    ticks = Ticks("complete", Topic.SPAN_CONTENTS, lambda: next(times))
    told_each = [[(out.key, out.partition) for out in ticks.due([0, 2])] for _ in range(3)]
    assert told_each == [[(None, 0), (None, 2)], [], [(None, 0), (None, 2)]]


def test_a_job_that_does_not_read_its_own_ticks_ends_and_one_that_does_goes_on() -> None:
    clock = Counter[str]()
    ticks = Ticks("complete", Topic.SPAN_CONTENTS, lambda: float(clock["now"]))
    for _ in range(7):
        assert [out.value for out in ticks.due([0, 1])] == [Tick(job="complete")] * 2
        ticks.read(0)
        clock["now"] += 5
    with pytest.raises(RuntimeError, match=r"partitions \[1\]"):
        ticks.due([0, 1])
    ticks.forget(1)
    clock["now"] += 5
    assert len(ticks.due([0, 1])) == 2
