import orjson
import pytest

from scorers.pii import ALL
from scorers.pii_kinds import KINDS
from scorers.scorer import Verdict
from tests.support.judged import example, judged, span

FINDS = [
    ("email", "jane.doe+x@mail.example.co.uk"), ("email", "JANE@EXAMPLE.COM"), ("email", "<a@b.de>"), ("email", "müller@exämple.de"),
    ("card", "4242 4242 4242 4242"), ("card", "5555555555554444"), ("card", "3782-822463-10005"), ("card", "378282246310005"),
    ("iban", "DE89 3704 0044 0532 0130 00"), ("iban", "GB82WEST12345698765432"), ("iban", "DE89370400440532013000 BIC COBADEFF"),
    ("ssn", "536-90-4399"), ("ssn", "SSN: 536904399"),
    ("ip", "81.2.69.142"), ("ip", "http://81.2.69.142:8080/x"), ("ip", "2a00:1450:4001:81b::200e"),
    ("phone", "+49 30 901820"), ("phone", "+1 (415) 555-2671"), ("phone", "(415) 555-2671"), ("phone", "415-555-2671"),
    ("phone", "phone 030 901820"), ("phone", "Telefon: 0171 2345678"), ("phone", "+44 20 7946 0958"), ("phone", "+14155552671"),
    ("phone", "0049 30 901820"),
    ("cpf", "390.533.447-05"), ("fiscal-code", "RSSMRA85T10A562S"), ("nir", "2 95 10 99 126 111 93"), ("nir", "295109912611193"),
]  # fmt: skip
OTHERS = (
    "order 4242424242424243", "order 12345678901234", "order 123-4567890-1234567", "invoice 2026-11-4711", "item 415-555",
    "version 1.2.3.4", "version 10.20.30.40", "v10.0.19.1", "1.10.23.4.5", "section 4.12.3.1", "Chrome/114.0.0.0 Safari/537.36",
    "2026-11-25", "12:34:56", "2026-11-25T03:34:56.123456Z", "1700000000", "1700000000123", "1764041696123456789",
    "4bf92f3577b34da6a3ce929d0e0e4736", "123e4567-e89b-12d3-a456-426614174000", "sha256:4111111111111111aa",
    "192.168.0.1 10.0.0.1 127.0.0.1", "fe80::1", "std::vector<int>", "2001:db8::1",
    "lodash@4.17.21", "icon@2x.png", "git@github.com:a/b.git", "@decorator", "a @ b.com", "x@localhost",
    "$1,234.56", "3.14159265358979", "52.520008, 13.404954", "1Z999AA10123456784", "ISBN 978-3-16-148410-0", "page 20 30 40 50 60 70",
    "000-00-0000", "666-12-3456", "536 90 4399", "DE00 3704 0044 0532 0130 00", "call_0123456789", "call 12345", "+1", "+++",
)  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), FINDS)
async def test_each_kind_is_found_in_the_forms_people_write_and_never_repeated(kind: str, text: str) -> None:
    verdict = await judged("pii", example(output=f"Here: {text}, please"))
    assert verdict == Verdict(value=0.0, measured=1, label=kind, reason=f"output has 1 {kind}")


@pytest.mark.parametrize("text", OTHERS)
async def test_numbers_of_orders_versions_times_and_the_like_are_none(text: str) -> None:
    verdict = await judged("pii", example(output=f"see {text} now"))
    assert (verdict.value, verdict.measured, verdict.label) == (1.0, 0, "")


@pytest.mark.parametrize("kind", ["card", "iban", "nir", "cpf", "fiscal-code"])
async def test_a_wrong_check_digit_makes_it_none(kind: str) -> None:
    text = next(text for found, text in FINDS if found == kind)
    last = "1" if text[-1] != "1" else "2"
    wrong = text[:-1] + (chr(ord(text[-1]) + 1) if text[-1].isalpha() else last)
    assert (await judged("pii", example(output=wrong), kinds=[kind])).value == 1.0


async def test_different_finds_are_counted_by_kind_and_the_same_one_only_once() -> None:
    text = "a@b.de, A@B.DE, c@d.de, card 4242 4242 4242 4242 or 4242424242424242"
    verdict = await judged("pii", example(output=text))
    assert verdict == Verdict(value=0.0, measured=3, label="card,email", reason="output has 1 card, 2 email")


async def test_only_the_kinds_asked_for_are_looked_for() -> None:
    text = "a@b.de 81.2.69.142"
    assert (await judged("pii", example(output=text), kinds=["ip"])).label == "ip"
    assert await judged("pii", example(output=text), kinds=["card"]) == Verdict(
        value=1.0, measured=0, reason="output has none of: card"
    )


async def test_what_is_allowed_does_not_count() -> None:
    text = "Write to help@shop.example, jane@shop.example or +49 30 901820"
    left = [await judged("pii", example(output=text), allow=allow)
            for allow in (["HELP@shop.example"], ["@shop.example"], ["@shop.example", "+4930901820"], ["shop.example"])]  # fmt: skip
    assert [verdict.measured for verdict in left] == [2, 1, 0, 3]


async def test_the_arguments_of_tools_are_read_and_escapes_part_words() -> None:
    calls = [{"role": "assistant", "parts": [{"type": "tool_call", "arguments": {"to": "a@b.de"}}]}]
    assert (await judged("pii", span(output=orjson.dumps(calls).decode()))).label == "email"
    assert (await judged("pii", example(output={"text": "his number:\n415-555-2671"}))).label == "phone"


async def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"with\.kinds\.0: Input should be 'card', 'cpf', 'email'"):
        await judged("pii", example(output="a"), kinds=["mail"])


def test_every_kind_that_can_be_asked_for_has_its_form() -> None:
    assert sorted(KINDS) == list(ALL)
