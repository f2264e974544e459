from schemas.subject import Subject
from scorers.latency import Latency
from scorers.scorer import Verdict


def span(duration_ms: float) -> Subject:
    return Subject(project="p", kind="span", subject_id="t:s", numbers={"duration_ms": duration_ms})


async def test_a_span_passes_up_to_the_limit() -> None:
    assert await Latency(1500).judge(span(1500)) == Verdict(
        value=1.0, measured=1500, reason="took 1500.0 ms, at most 1500 ms"
    )
    assert await Latency(1500).judge(span(1500.1)) == Verdict(
        value=0.0, measured=1500.1, reason="took 1500.1 ms, longer than 1500 ms"
    )


async def test_an_example_has_no_duration() -> None:
    example = Subject(project="p", kind="example", subject_id="e")
    assert await Latency(1).judge(example) == Verdict(
        skipped=True, reason="an example has no duration; use `target: span`"
    )
