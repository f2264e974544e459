"""What a build may see of a package index."""

import json

import pytest

from scorers.hosted.pages import File, Unreadable, page, parse, seen

URL = "https://index.example/root/simple/shop/"
NOW = 1_700_000_000.0
DAY = 86_400.0


def test_a_page_is_read_as_json() -> None:
    body = {
        "files": [
            {
                "filename": "shop-1.0-py3-none-any.whl",
                "url": "../../files/shop-1.0-py3-none-any.whl#sha256=zz",
                "hashes": {"sha256": "ab"},
                "requires-python": ">=3.9",
                "core-metadata": {"sha256": "cd"},
                "upload-time": "2023-11-14T22:13:20.5Z",
                "yanked": "broken",
            }
        ]
    }
    (found,) = parse(json.dumps(body).encode(), "application/vnd.pypi.simple.v1+json", URL)
    assert found == File(
        name="shop-1.0-py3-none-any.whl",
        url="https://index.example/root/files/shop-1.0-py3-none-any.whl",
        sha256="ab",
        requires_python=">=3.9",
        has_metadata=True,
        yanked="broken",
        uploaded_at=NOW + 0.5,
    )


def test_a_page_is_read_as_html() -> None:
    body = (
        b'<html><a href="https://files.example/a%2Bb/shop-1.0%2Blocal-py3-none-any.whl#sha256=ab" '
        b'data-requires-python="&gt;=3.9" data-core-metadata="sha256=cd" data-yanked>x</a><a>nothing</a>'
        b'<a href="file:///etc/passwd">x</a></html>'
    )
    (found,) = parse(body, "text/html", URL)
    assert (found.name, found.url) == (
        "shop-1.0+local-py3-none-any.whl",
        "https://files.example/a%2Bb/shop-1.0%2Blocal-py3-none-any.whl",
    )
    assert (found.sha256, found.requires_python, found.has_metadata, found.yanked) == ("ab", ">=3.9", True, True)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"no json", "application/json"),
        (b"[]", "application/json"),
        (b'{"files": [1]}', "application/json"),
        (b'{"files": [{"filename": "x"}]}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff\xfe", "text/html"),
    ],
)
def test_what_is_no_page_is_told_from_an_empty_one(body: bytes, content_type: str) -> None:
    with pytest.raises(Unreadable):
        parse(body, content_type, URL)


def file(name: str, days: float | None = None) -> File:
    return File(name, f"https://f/{name}", "ab", uploaded_at=None if days is None else NOW - days * DAY)


def test_only_wheels_of_the_project_are_seen_and_none_whose_name_is_a_path() -> None:
    files = [
        file("shop-1.0.tar.gz"),
        file("shop-1.0-py3-none-any.whl"),
        file("other-1.0-py3-none-any.whl"),
        file("shop-1.0-py3-none-../../evil.whl"),
        file("shop-1.0-py3-none-any\r\n.whl"),
        file("nonsense.whl"),
    ]
    assert [one.name for one in seen("shop", files, NOW, 0).files] == ["shop-1.0-py3-none-any.whl"]


def test_a_project_without_wheels_is_told() -> None:
    found = seen("shop", [file("shop-1.0.tar.gz")], NOW, 0)
    assert found.files == ()
    assert "no wheels" in found.notes[0]


def test_young_files_are_hidden_and_told_and_so_are_those_of_unknown_age() -> None:
    files = [
        file("shop-1.0-py3-none-any.whl", 30),
        file("shop-2.0-py3-none-any.whl", 6.9),
        file("shop-3.0-py3-none-any.whl"),
    ]
    found = seen("shop", files, NOW, 7 * DAY)
    assert [one.name for one in found.files] == ["shop-1.0-py3-none-any.whl"]
    assert [note for note in found.notes if "does not tell upload times" in note or "1 files are younger than 7 days" in note] == list(found.notes)  # fmt: skip
    assert len(seen("shop", files, NOW, 0).files) == 3


def test_pip_is_shown_urls_of_the_door() -> None:
    (told,) = json.loads(page("shop", [(file("shop-1.0-py3-none-any.whl"), "/files/x")]))["files"]
    assert (told["url"], told["hashes"]) == ("/files/x", {"sha256": "ab"})
