import xml.etree.ElementTree as ET

from streams.local.clickhouse import answers, login, password, users
from streams.local.ports import free_port


def test_the_reader_may_select_from_the_named_databases_only():
    parsed = ET.fromstring(users("w", "r", ["vedette", "t_*"]))  # noqa: S314
    assert [query.text for query in parsed.findall("users/vedette_read/grants/query")] == [
        "GRANT SELECT ON system.settings",
        "GRANT SELECT ON vedette.*",
        "GRANT SELECT ON t_*.*",
    ]


def test_no_password_is_written_in_clear():
    text = users("secret-of-the-writer", "secret-of-the-reader", ["vedette"])
    assert "secret-of" not in text


def test_each_user_has_a_password_of_its_own_that_stays(tmp_path):
    writer, reader = password(tmp_path, "vedette"), password(tmp_path, "vedette_read")
    assert writer != reader
    assert login(tmp_path, 8123) == f"http://vedette:{writer}@127.0.0.1:8123"
    assert password(tmp_path, "vedette_read") == reader
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_a_server_that_does_not_exist_does_not_answer(tmp_path):
    password(tmp_path, "vedette")
    assert answers(tmp_path, free_port()) is False
