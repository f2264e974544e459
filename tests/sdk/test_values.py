"""Values as they come: whatever a program hands over is kept within bounds, and never run."""

import dataclasses
import datetime as dt
import enum
import json
import math
import time
from collections import OrderedDict, namedtuple
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from vedette import Tracer
from vedette.freeze import TEXT_CHARS, dump, freeze
from vedette.recording import text
from vedette.redact import is_secret

from tests.sdk.server import KEY, Server


class Hostile:
    """Nothing of it may run."""

    def __repr__(self) -> str:
        raise AssertionError("repr ran")

    __str__ = __repr__

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"getattr ran for {name}")

    def __iter__(self) -> Any:
        raise AssertionError("iter ran")

    def __len__(self) -> int:
        raise AssertionError("len ran")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("eq ran")

    def __bool__(self) -> bool:
        raise AssertionError("bool ran")

    __hash__ = object.__hash__


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Mapping(dict[str, int]):
    def items(self) -> Any:
        raise AssertionError("items ran")

    def __iter__(self) -> Any:
        raise AssertionError("iter ran")


class Model(BaseModel):
    name: str
    secret: SecretStr
    password: str = "p"


@dataclasses.dataclass(slots=True)
class Point:
    x: int
    tag: str


class Thing:
    def __init__(self) -> None:
        self.size = 3
        self._own = 4


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", "text"),
        (None, None),
        (True, True),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (2**64, "18446744073709551616"),
        (10**5000, "<int of 16610 bits>"),
        (-(2**62), -(2**62)),
        ((1, "a"), [1, "a"]),
        ({1: "a", None: 2, (1, 2): 3, Color.RED: 4}, {"1": "a", "None": 2, "<tuple>": 3, "red": 4}),
        ({"x"}, ["x"]),
        (b"abc", "<3 bytes>"),
        (Color.RED, "red"),
        (Level.LOW, 1),
        (Mapping(a=1), {"a": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (Model(name="n", secret=SecretStr("s")), {"name": "n", "secret": "***", "password": "***"}),
        (Point(1, "t"), {"x": 1, "tag": "t"}),
        (Pair(1, 2), {"left": 1, "right": 2}),
        (Thing(), {"<Thing>": {"size": 3}}),
        (Hostile(), "<Hostile>"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.50"), "1.50"),
        (Path("/a"), "/a"),
        (ValueError("no", 3), "ValueError: ('no', 3)"),
        (OSError(2, "No such file", "a"), "FileNotFoundError: [Errno 2] No such file: 'a'"),
        (ValueError(Hostile()), "ValueError: <Hostile>"),
        (ValueError(), "ValueError"),
        (len, "<builtin_function_or_method len>"),
        (Model, "<ModelMetaclass Model>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_value_is_shown_as(value: object, shown: object) -> None:
    assert freeze(value) == shown
    json.loads(json.dumps(freeze([value]), allow_nan=False))


def test_values_that_contain_themselves_end() -> None:
    loop: dict[str, Any] = {"a": []}
    loop["a"].append(loop)
    assert freeze(loop) == {"a": ["<dict: contains itself>"]}
    deep: Any = 0
    for _ in range(10_000):
        deep = [deep]
    assert "too deep" in dump(freeze(deep))
    shared = ["x"]
    assert freeze([shared, shared]) == [["x"], ["x"]]


def test_long_texts_are_cut_with_a_marker_and_short_ones_beside_them_stay() -> None:
    huge = "h" * 10_000_000 + "t"
    shown = freeze({"big": huge, "question": "Where?"})
    assert shown["question"] == "Where?"
    assert len(shown["big"]) <= TEXT_CHARS
    assert shown["big"].endswith("t")
    assert "[… cut: 10000001 characters …]" in shown["big"]
    assert len(text(huge)) <= TEXT_CHARS


def test_large_containers_are_cut_with_a_marker() -> None:
    shown = freeze(list(range(1_000_000)))
    assert len(shown) < 30_000
    assert shown[-1].endswith("more …]")
    assert len(dump(freeze([["x" * 1000] * 1000] * 1000))) < 2 * TEXT_CHARS
    assert "…" in freeze({str(n): n for n in range(100_000)})


def test_a_large_value_takes_its_caller_a_bounded_time() -> None:
    rows = [{"id": n, "words": ["w"] * 100} for n in range(100_000)]
    began = time.process_time()
    freeze(rows)
    assert time.process_time() - began < 1  # a copy of all of it takes several


@pytest.mark.parametrize("name", ["api_key", "apiKey", "OPENAI_API_KEY", "x-api-key", "Authorization", "password", "db_password", "refresh_token", "cookie", "client_secret", "credentials"])  # fmt: skip
def test_names_that_tell_a_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["max_tokens", "input_tokens", "request", "keyboard", "author", "tokens", "monkey", "passage"]
)
def test_names_that_tell_none(name: str) -> None:
    assert not is_secret(name)


def test_halves_of_surrogates_and_our_own_key_do_not_spoil_a_batch(tracer: Tracer, server: Server) -> None:
    @tracer.observe(span_name="na\ud800me")
    def call(words: str) -> str:
        tracer.set_attribute("odd\udfff", "\ud800")
        tracer.async_evaluate("s", {"a": "\ud800", KEY: KEY})
        return f"the key is {KEY}"

    call("x\udc00y")
    tracer.force_flush()
    assert (len(server.spans()), len(server.examples())) == (1, 1)
    assert server.spans()[0].attributes["vedette.input"] == '{"words":"x?y"}'
    assert not any(KEY.encode() in one.body for one in server.requests)


def test_hostile_arguments_and_results_pass_through_untouched(tracer: Tracer, server: Server) -> None:
    hostile = Hostile()
    assert tracer.observe(lambda value: value)(hostile) is hostile
    tracer.force_flush()
    (span,) = server.spans()
    assert span.attributes["vedette.output"] == "<Hostile>"


def test_the_redaction_hook_sees_every_text_before_it_leaves(server: Server) -> None:
    def hide(words: str) -> str:
        if "boom" in words:
            raise ValueError
        return words.replace("Meier", "[name]")

    tracer = Tracer(project_name="shop", api_url=server.url, api_key=KEY, redact=hide)

    @tracer.observe
    def call(who: str, note: str) -> list[str]:
        tracer.set_attribute("note", "for Meier")
        tracer.async_evaluate("s", {"who": [who]})
        raise LookupError("Meier is not here")

    with pytest.raises(LookupError):
        call("Meier", "boom")
    tracer.shutdown()
    assert len(server.spans()) == len(server.examples()) == 1
    assert not any(b"Meier" in one.body for one in server.requests)
    assert "left out" in server.spans()[0].attributes["vedette.input"]
