"""A destination's own words, and what they cannot do."""

import time

import pytest

from schemas.documents.destination import Template
from sinks.message import compose
from sinks.template import Failed, applied, rendered
from sinks.testing import FIRED, RULE

MESSAGE = compose(FIRED, RULE, "https://v.example", "#agents")


def test_subject_and_text_stand_instead_of_ours() -> None:
    own = Template(
        subject="[{{ severity|upper }}] {{ rule }} for {{ group.agent }}",
        text="{{ cause }}\n{% for sample in samples %}* {{ sample.reason }}\n{% endfor %}{{ facts.Condition }}",
    )
    message, note = applied(MESSAGE, own)
    assert note == ""
    assert message.headline == "[WARNING] Package Inquiry Failures for CustomerServiceAgent"
    assert message.text.splitlines()[1] == "* the answer never mentions the parcel (0)"
    assert (message.identity, message.url) == (MESSAGE.identity, MESSAGE.url)


def test_what_is_left_out_stays_ours() -> None:
    assert applied(MESSAGE, None) == (MESSAGE, "")
    assert applied(MESSAGE, Template(subject="x"))[0].text == ""
    assert applied(MESSAGE, Template(text="x"))[0].headline == MESSAGE.headline


def test_a_template_that_fails_leaves_the_standard_message_and_says_where() -> None:
    message, note = applied(MESSAGE, Template(text="fine\n{{ group.nobody }}"))
    assert message == MESSAGE
    assert note.startswith("the template failed, so the standard message was sent: text: line 2: undefined value")


HOSTILE = [
    "{{ 'a' * 1000000000 }}",
    "{% for i in range(9999) %}{% for j in range(9999) %}{% for k in range(9999) %}x{% endfor %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x='aaaaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{{ ('a' * 1000)|replace('a', 'b' * 1000)|replace('b', 'c' * 1000) }}",
    "{{ project.__class__.__mro__ }}",
    "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ facts.__init__.__globals__ }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{{ open('/etc/passwd') }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ range(100000000)|list }}",
    "{{ 10 ** 1000000 }}",
    "{% if %}",
    "{{",
]


@pytest.mark.parametrize("source", HOSTILE)
def test_a_template_reaches_nothing_and_stops_in_time(source: str) -> None:
    began = time.process_time()
    with pytest.raises(Failed, match="text: line 1: "):
        rendered(MESSAGE, Template(text=source))
    assert time.process_time() - began < 2  # bounded by fuel; the engine takes milliseconds


def test_what_agents_wrote_is_cleaned_before_and_after() -> None:
    change = FIRED.model_copy(update={"group_key": '{"agent":"x\\r\\nBcc: evil@example.com\\u202e"}'})
    message = rendered(compose(change, RULE, "https://v.example", "a@x.org"), Template(subject="{{ group.agent }}"))
    assert message.headline == "x Bcc: evil@example.com"
