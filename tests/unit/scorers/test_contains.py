import pytest

from schemas.subject import Subject
from scorers.contains import Contains
from scorers.scorer import Verdict

SUBJECT = Subject(
    project="p",
    kind="example",
    subject_id="e",
    fields=b'{"output":"Die STRASSE ist lang","n":[1,2],"empty":""}',
)


@pytest.mark.parametrize(
    ("scorer", "verdict"),
    [
        (Contains(("ist",)), Verdict(value=1.0, measured=1, reason="output contains 'ist'")),
        (Contains(("x", "lang", "die")), Verdict(value=1.0, measured=2, reason="output contains 'lang'")),
        (Contains(("straße",)), Verdict(value=1.0, measured=1, reason="output contains 'straße'")),
        (
            Contains(("die",), ignore_case=False),
            Verdict(value=0.0, measured=0, reason="output contains none of ['die']"),
        ),
        (Contains(("[1,2]",), field="n"), Verdict(value=1.0, measured=1, reason="n contains '[1,2]'")),
        (Contains(("a",), field="empty"), Verdict(value=0.0, measured=0, reason="empty contains none of ['a']")),
    ],
)
async def test_it_counts_the_texts_that_the_field_contains(scorer: Contains, verdict: Verdict) -> None:
    assert await scorer.judge(SUBJECT) == verdict


async def test_a_missing_field_is_skipped_with_what_would_supply_it() -> None:
    assert await Contains(("a",), field="response").judge(SUBJECT) == Verdict(
        skipped=True,
        reason="the example has no 'response'; send it in the example's fields, "
        "or name one of those it has in `with.field` instead of 'response'",
    )


@pytest.mark.parametrize(
    ("dialect", "field", "hint"),
    [
        ("otel-genai", "output", "set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only and "),
        ("openinference", "output", "unset OPENINFERENCE_HIDE_OUTPUTS and OPENINFERENCE_HIDE_OUTPUT_MESSAGES"),
        ("openinference", "response", "a span's fields are input and output"),
    ],
)
async def test_a_span_without_content_names_the_setting_of_its_instrumentation(
    dialect: str, field: str, hint: str
) -> None:
    span = Subject(project="p", kind="span", subject_id="t:s", dialect=dialect)
    verdict = await Contains(("a",), field=field).judge(span)
    assert verdict.skipped
    assert verdict.reason.startswith(f"the span has no {field!r}; ")
    assert hint in verdict.reason
