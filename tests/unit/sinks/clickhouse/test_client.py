import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError
from urllib3.exceptions import ReadTimeoutError

from sinks.clickhouse.client import connect, failure
from sinks.sink import Permanent, Transient


@pytest.mark.parametrize("code", [60, 159, 164, 202, 209, 210, 241, 242, 243, 252, 319, 425, 497, 516, 999, 123_456])
def test_trouble_of_the_server_passes(code: int) -> None:
    assert isinstance(failure(DatabaseError("no", code=code), "h:1"), Transient)


@pytest.mark.parametrize("code", [6, 33, 53, 62, 70, 117, 349])
def test_data_that_the_server_refuses_is_refused_for_ever(code: int) -> None:
    assert isinstance(failure(DatabaseError("no", code=code), "h:1"), Permanent)


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (OperationalError("Error executing HTTP request"), Transient),
        (ReadTimeoutError(None, "", "timed out"), Transient),  # type: ignore[arg-type]
        (ConnectionResetError("reset"), Transient),
        (DatabaseError("HTTP driver received HTTP status 502"), Transient),
        (DatabaseError("HTTP driver received HTTP status 413"), Permanent),
        (DataError("Invalid None value in non-Nullable column"), Permanent),
        (UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed"), Permanent),
        (TypeError("an integer is required"), Permanent),
    ],
)
def test_failures_without_a_code_are_told_apart_by_their_kind(error: Exception, meaning: type) -> None:
    assert isinstance(failure(error, "h:1"), meaning)


def test_a_failure_names_the_server_and_leaves_out_noise() -> None:
    said = "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS) (version 26.9.2.1 (official build)) (for url http://h:1)"
    assert str(failure(DatabaseError(said, code=252), "h:1")) == (
        "ClickHouse at h:1: Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)"
    )


@pytest.mark.parametrize(
    "url", ["", "clickhouse", "tcp://u:hidden@h:9000", "http://u:hidden@h:port", "http://u:hidden@h/no-name"]
)
def test_a_url_that_is_none_is_refused_without_telling_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"not a (ClickHouse URL|name of a database)") as refused:
        connect(url)
    assert "hidden" not in str(refused.value)


def test_a_server_that_is_away_is_transient_and_its_password_is_not_told() -> None:
    with pytest.raises(Transient) as away:
        connect("http://vedette:hidden@127.0.0.1:1")
    assert str(away.value).startswith("ClickHouse at 127.0.0.1:1 does not answer: ")
    assert "hidden" not in str(away.value)
