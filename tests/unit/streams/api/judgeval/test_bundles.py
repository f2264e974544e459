"""Bundles of judgeval 1.x: read in memory, within bounds, never unpacked."""

import io
import tarfile

import pytest

from streams.api.errors import Refused
from streams.api.judgeval import bundles
from streams.api.judgeval.bundles import files, parts


def archive(**members: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/").replace("_py", ".py").replace("_txt", ".txt"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def form(boundary: str = "b0", **fields: bytes) -> bytes:
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="x"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in fields.items()
    )
    return body + f"--{boundary}--\r\n".encode()


def test_a_form_gives_back_its_fields_byte_for_byte() -> None:
    tar = archive(scorer_py=b"x = 1\r\n\n")
    found = parts(form(metadata=b'{"a": 1}', bundle=tar), 'multipart/form-data; boundary="b0"')
    assert found == {"metadata": b'{"a": 1}', "bundle": tar}


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", ""])
def test_what_is_no_form_is_refused(kind: str) -> None:
    with pytest.raises(Refused, match="multipart/form-data"):
        parts(b"{}", kind)


def test_the_regular_files_of_an_archive_are_read() -> None:
    assert files(archive(src__scorer_py=b"code", requirements_txt=b"openai")) == {
        "src/scorer.py": b"code",
        "requirements.txt": b"openai",
    }


def test_links_and_devices_are_passed_over() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        link = tarfile.TarInfo("scorer.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert files(made.getvalue()) == {}


def test_a_bomb_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MOST_BYTES", 1000)
    with pytest.raises(Refused, match="at most 200 files"):
        files(archive(scorer_py=b"\0" * 1001))


def test_too_many_files_are_refused() -> None:
    with pytest.raises(Refused, match="at most 200 files"):
        files(archive(**{f"f{n}_py": b"" for n in range(201)}))


@pytest.mark.parametrize(
    "data", [b"", b"no archive", archive(a_py=b"x" * 5000)[:-20]], ids=["empty", "no archive", "cut off"]
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(Refused, match=r"no tar\.gz"):
        files(data)
