import time

import pytest

from schemas.otlp.mask import mask, secret_key, suspicious

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA04up8hoqzS1\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("aws AKIAIOSFODNN7EXAMPLE end", "aws *** end"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS_SECRET_ACCESS_KEY=***"),
        ("git clone https://ghp_16C7e42F292c6912E7710c838347Ae178B4a@github.com", "git clone https://***@github.com"),
        ("github_pat_11ABCDEFG0abcdefghijklmnop", "***"),
        ("xoxb-123456789012-abcdefghijkl", "***"),
        ("vd_0123456789ab_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", "***"),
        ("POST https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXXXXXX", "POST https://hooks.slack.com/***"),
        ("key sk-proj-abcdefghijklmnop_qrst", "key ***"),
        ("key sk-ant-api03-abcdefghijklmnop", "key ***"),
        ("sk-abcdefghijklmnopqrstuvwx", "***"),
        ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: Bearer ***"),
        ("use bearer abcdefghijklmnop1234 please", "use bearer *** please"),
        (f"before {PEM} after", "before *** after"),
        ("password=hunter2&user=bob", "password=***&user=bob"),
        ('{"password": "hunter2", "user": "bob"}', '{"password": "***", "user": "bob"}'),
        ('{"body":"{\\"api_key\\": \\"abcdef\\"}"}', '{"body":"{\\"api_key\\": \\"***\\"}"}'),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4fwpM", "***"),
        ("AIzaSyD-1234567890abcdefghijklmnopqrstu", "***"),
    ],
)
def test_well_known_secrets_are_masked(text: str, masked: str) -> None:
    assert suspicious(text)
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Where is my package? I ordered it last week.",
        "a task-with-a-very-long-name-of-many-words",
        '{"max_tokens": 200, "usage": {"input_tokens": 129}}',
        '{"password": null, "secret": false}',
        "the password is wrong, says the user",
        "monkey: banana",
        "AKIA is how AWS keys begin, sk- how OpenAI's do",
        "call_0001 gpt-4o-mini-2024-07-18 2c076030-eb94-51a1-8325-40b0c777ad23",
    ],
)
def test_ordinary_texts_are_left_alone(text: str) -> None:
    assert mask(text) == text


def test_a_secret_beside_half_of_a_surrogate_pair_is_masked() -> None:
    assert mask("\ud800 password=hunter2") == "\ud800 password=***"


@pytest.mark.parametrize("text", ['"name": "ask_researcher"', '"prompt_cache_key":null', "risk-free", "boxoxx"])
def test_what_only_begins_like_a_secret_is_not_even_suspicious(text: str) -> None:
    """Or every span that holds it would pay for the search."""
    assert not suspicious(text)


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("http.request.header.authorization", True),
        ("http.request.header.x-api-key", True),
        ("http.request.header.cookie", True),
        ("db.password", True),
        ("llm.api_key", True),
        ("client_secret", True),
        ("session.token", True),
        ("gen_ai.usage.input_tokens", False),
        ("gen_ai.tool.call.id", False),
        ("monkey", False),
        ("session.id", False),
        ("", False),
    ],
)
def test_attributes_are_secret_by_their_name(key: str, *, secret: bool) -> None:
    assert secret_key(key) is secret


@pytest.mark.parametrize(
    "piece",
    ["-----BEGIN PRIVATE KEY-----", "eyJ", "-eyJ", 'password="', "password=\\", "secret", "api_key: ", "sk-ant-", "Bearer ", "gh", "\\"],
)  # fmt: skip
def test_masking_takes_linear_time_whatever_the_text(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()
    mask(text)
    assert time.process_time() - began < 2.5
