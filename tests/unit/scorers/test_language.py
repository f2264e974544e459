from typing import Any

import pytest

from tests.support.judged import example, judged, span


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "Your parcel is on its way."),
        ("de", "Guten Tag, wie kann ich Ihnen helfen?"),
        ("fr", "Votre colis est en route"),
        ("es", "¿Dónde está mi paquete?"),
        ("nl", "Het pakket komt morgen aan"),
        ("ru", "Спасибо за ваш заказ"),
        ("ja", "ありがとうございます"),
        ("zh", "请问我的订单在哪里\uff1f我等了三天了"),
        ("hi", "आपका पार्सल रास्ते में है और कल पहुंचेगा"),
        ("ar", "شكرا لك على طلبك وسيصل غدا"),
    ],
)
async def test_a_short_sentence_is_enough_to_tell_its_language(code: str, text: str) -> None:
    right = await judged("language", example(output=text), any=[code])
    wrong = await judged("language", example(output=text), any=["fi", "th"])
    assert (right.value, right.measured) == (1.0, 1.0)
    assert (wrong.value, wrong.measured, wrong.label) == (0.0, 0.0, right.label)
    assert wrong.reason == f"output is in {right.label!r} (100%), not in fi or th"


@pytest.mark.parametrize(
    "text", ["", "OK", "Ja", "Order 12345", "12 34", "https://shop.example/orders/1", "```\nfor x in y: print(x)\n```", "👍", "\x00\x07"]
)  # fmt: skip
async def test_a_text_too_short_to_tell_is_skipped_and_never_bad(text: str) -> None:
    verdict = await judged("language", example(output=text), any=["fi"])
    assert verdict.skipped
    assert verdict.reason.startswith("could not tell the language of output: ")
    assert verdict.reason.endswith("letters are too few")


async def test_languages_that_are_nearly_the_same_are_not_told_apart_in_a_short_text() -> None:
    short, long = (
        "Hvor er pakken min? Jeg venter på den i dag.",
        "Hvor er pakken min? Jeg har ventet på den hele uken. " * 10,
    )
    near = await judged("language", example(output=short), any=["da"])
    far = await judged("language", example(output=short), any=["fi"])
    enough = await judged("language", example(output=long), any=["sv"])
    assert (near.skipped, far.value, enough.value) == (True, 0.0, 0.0)
    assert near.reason.endswith("too short to tell it from da")


async def test_measured_is_the_share_in_wanted_languages() -> None:
    text = (
        "Your parcel arrives on Monday between ten and twelve. " * 6 + "Vielen Dank für Ihre Geduld und bis bald! " * 2
    )
    english = await judged("language", example(output=text), any=["en"])
    both = await judged("language", example(output=text), any=["en", "de"])
    german = await judged("language", example(output=text), any=["de"])
    assert (english.value, both.value, german.value) == (1.0, 1.0, 0.0)
    assert english.measured is not None
    assert german.measured is not None
    assert 0.5 < english.measured < 1 == both.measured
    assert english.measured + german.measured == pytest.approx(1)


async def test_the_answer_may_be_wanted_in_the_language_of_the_question() -> None:
    question = "Wo ist mein Paket? Ich warte seit drei Tagen."
    answers = [await judged("language", span(input=question, output=text), same_as="input")
               for text in ("Ihr Paket kommt morgen zwischen zehn und zwölf.", "Your parcel arrives tomorrow morning.")]  # fmt: skip
    short = await judged("language", span(input="OK", output="Your parcel arrives tomorrow morning."), same_as="input")
    near = await judged(
        "language",
        span(input="Hvornår kommer min pakke?", output="Vi leverer den til deg i morgen. " * 20),
        same_as="input",
    )
    missing = await judged("language", span(output=question), same_as="input")
    assert [answer.value for answer in answers] == [1.0, 0.0]
    assert answers[1].reason == "output is in 'en' (100%), not in de, the language of input"
    assert short.reason.startswith("could not tell the language of input: ")
    assert near.skipped
    assert missing.reason.startswith("the span has no 'input'; ")


@pytest.mark.parametrize(("written", "meant"), [("EN", "en"), ("en-US", "en"), ("pt_BR", "pt"), ("nb", "no"), ("zh-TW", "zh-hant"), ("he", "iw")])  # fmt: skip
async def test_codes_may_be_written_as_people_write_them(written: str, meant: str) -> None:
    verdict = await judged("language", example(output="The parcel is on its way."), any=[written])
    assert verdict.reason == f"output is in 'en' (100%), {'' if meant == 'en' else 'not '}in {meant}"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"any": ["german"]}, "no language 'german' is known; did you mean 'de'?"),
        ({"any": ["xx"]}, "no language 'xx' is known; write a code of ISO 639-1 as en, de, fr"),
        ({}, "give `any` (codes as en, de) or `same_as` (a field as input), one of the two"),
        ({"any": ["en"], "same_as": "input"}, "give `any`"),
        ({"same_as": "output"}, "`same_as` and `field` are both 'output'"),
    ],
)
async def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared below
        await judged("language", example(output="a"), **settings)
    assert reason in str(refused.value)
