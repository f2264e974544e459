"""The door to a package index: what it hands in, and what it refuses."""

import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from scorers.hosted.index import Budget, Door, Index, door
from tests.support.index import LocalIndex, sdist, serving, wheel


@pytest.fixture
def local() -> Iterator[LocalIndex]:
    with serving(LocalIndex()) as index:
        index.add(wheel("shop"))
        yield index


@asynccontextmanager
async def opened(
    index: Index, work: Path, budget: Budget | None = None
) -> AsyncIterator[tuple[Door, aiohttp.ClientSession]]:
    async with door(index, work, budget or Budget()) as one:
        connector = aiohttp.UnixConnector(str(one.socket))
        async with aiohttp.ClientSession("http://door", connector=connector) as pip:
            yield one, pip


async def ask(pip: aiohttp.ClientSession, path: str) -> tuple[int, bytes]:
    async with pip.get(path) as answer:
        return answer.status, await answer.read()


@pytest.mark.parametrize("html", [False, True])
async def test_pip_sees_wheels_alone_and_gets_them_checked(local: LocalIndex, tmp_path: Path, html: bool) -> None:
    local.html = html
    local.add(sdist("shop", "2.0", ""))
    async with opened(Index(local.url), tmp_path) as (one, pip):
        status, page = await ask(pip, "/simple/shop/")
        assert (status, b"tar.gz" in page) == (200, False)
        assert await ask(pip, "/files/shop-1.0-py3-none-any.whl") == (200, local.files["shop-1.0-py3-none-any.whl"])
        assert list(one.handed) == ["shop-1.0-py3-none-any.whl"]
        assert (await ask(pip, "/files/shop-2.0.tar.gz"))[0] == 404


async def test_nothing_but_listed_files_and_projects_is_behind_the_door(local: LocalIndex, tmp_path: Path) -> None:
    async with opened(Index(local.url), tmp_path) as (one, pip):
        for path in (
            "/files/shop-1.0-py3-none-any.whl",
            "/files/..%2f..%2fetc%2fpasswd",
            "/simple/Shop/",
            "/simple/none/",
            "/simple/..%2f..%2fx/",
            "/",
            "/simple/",
            "//127.0.0.1/",
        ):
            assert (path, (await ask(pip, path))[0]) == (path, 404)
        async with pip.post("/simple/shop/") as answer:
            assert answer.status == 405
        assert list(one.notes) == ["none: the index has no such project"]


async def test_a_wheel_that_is_not_what_the_page_says_is_refused(local: LocalIndex, tmp_path: Path) -> None:
    local.listed_hashes["shop-1.0-py3-none-any.whl"] = "0" * 64
    async with opened(Index(local.url), tmp_path) as (one, pip):
        await ask(pip, "/simple/shop/")
        assert (await ask(pip, "/files/shop-1.0-py3-none-any.whl"))[0] == 403
        assert (one.handed, "has the hash" in " ".join(one.notes)) == ({}, True)


async def test_only_allowed_projects_are_seen(local: LocalIndex, tmp_path: Path) -> None:
    local.add(wheel("other"))
    async with opened(Index(local.url, allow=("other",)), tmp_path) as (one, pip):
        assert [(await ask(pip, f"/simple/{name}/"))[0] for name in ("shop", "other")] == [404, 200]
        assert "shop is not on this installation's list" in " ".join(one.notes)


async def test_files_younger_than_the_gate_are_hidden(local: LocalIndex, tmp_path: Path) -> None:
    local.add(wheel("aged", "1.0"), "2020-01-01T00:00:00Z")
    local.add(wheel("aged", "2.0"), "2999-01-01T00:00:00Z")
    async with opened(Index(local.url, min_age_s=7 * 86400), tmp_path) as (one, pip):
        _, page = await ask(pip, "/simple/aged/")
        assert (b"aged-1.0" in page, b"aged-2.0" in page) == (True, False)
        assert "younger than 7 days" in " ".join(one.notes)


async def test_a_bomb_is_refused_by_what_it_says_it_unpacks_to(local: LocalIndex, tmp_path: Path) -> None:
    name = local.add(wheel("bomb", files={"bomb.py": b"\0" * (2 << 20)}))
    assert len(local.files[name]) < 20_000
    async with opened(Index(local.url), tmp_path, Budget(bytes=1 << 20)) as (one, pip):
        await ask(pip, "/simple/bomb/")
        assert (await ask(pip, f"/files/{name}"))[0] == 403
        assert "unpacks to 2 MiB" in " ".join(one.notes)


async def test_a_download_ends_at_the_limit(local: LocalIndex, tmp_path: Path) -> None:
    local.files["large-1.0-py3-none-any.whl"] = b"x" * (2 << 20)
    async with opened(Index(local.url), tmp_path, Budget(bytes=1 << 20)) as (one, pip):
        await ask(pip, "/simple/large/")
        assert (await ask(pip, "/files/large-1.0-py3-none-any.whl"))[0] == 403
        assert "is larger than the 1 MiB" in " ".join(one.notes)


async def test_an_archive_whose_directory_is_a_bomb_is_refused_unread(local: LocalIndex, tmp_path: Path) -> None:
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 100 << 20, 0, 0)
    for name, content in {
        "dir": b"x" * 100 + end,
        "zip64": b"PK\6\7" + b"\0" * 16 + end,
        "none": b"no archive",
    }.items():
        local.files[f"{name}-1.0-py3-none-any.whl"] = content
    async with opened(Index(local.url), tmp_path) as (one, pip):
        for name, status in {"dir": 403, "zip64": 502, "none": 502}.items():
            await ask(pip, f"/simple/{name}/")
            assert (name, (await ask(pip, f"/files/{name}-1.0-py3-none-any.whl"))[0]) == (name, status)
        assert len(one.handed) == 0


async def test_the_number_of_packages_and_files_is_limited(local: LocalIndex, tmp_path: Path) -> None:
    local.add(wheel("other"))
    many = local.add(wheel("many", files={f"many/{number}.py": "" for number in range(200)}))
    async with opened(Index(local.url), tmp_path, Budget(packages=1, files=100)) as (one, pip):
        for name in ("shop", "other", "many"):
            await ask(pip, f"/simple/{name}/")
        assert (await ask(pip, f"/files/{many}"))[0] == 403
        assert (await ask(pip, "/files/shop-1.0-py3-none-any.whl"))[0] == 200
        assert (await ask(pip, "/files/other-1.0-py3-none-any.whl"))[0] == 403
        assert list(one.handed) == ["shop-1.0-py3-none-any.whl"]


async def test_an_index_that_is_away_or_answers_nonsense_is_told_without_its_password(tmp_path: Path) -> None:
    async with opened(Index("http://user:geheim@127.0.0.1:9/simple"), tmp_path) as (one, pip):
        status, told = await ask(pip, "/simple/shop/")
        assert (status, b"geheim" in told, "geheim" in " ".join(one.notes)) == (502, False, False)
        assert len(one.notes) == 1


async def test_credentials_go_to_the_index_and_to_no_other_host(tmp_path: Path) -> None:
    from aiohttp import web

    heard: dict[str, str] = {}
    name, content = wheel("shop")

    async def page(request: web.Request) -> web.Response:
        heard["page"] = request.headers.get("authorization", "")
        return web.json_response({"files": [{"filename": name, "url": f"{files_url}/{name}", "hashes": {}}]})

    async def file(request: web.Request) -> web.Response:
        heard["file"] = request.headers.get("authorization", "")
        return web.Response(body=content)

    async with _served("/simple/shop/", page) as index_url, _served(f"/{name}", file) as files_url:
        with_password = index_url.replace("http://", "http://user:geheim@")
        async with opened(Index(f"{with_password}/simple"), tmp_path) as (_, pip):
            assert (await ask(pip, "/simple/shop/"))[0] == 200
            assert await ask(pip, f"/files/{name}") == (200, content)
    assert (heard["page"], heard["file"]) == (aiohttp.encode_basic_auth("user", "geheim"), "")


@asynccontextmanager
async def _served(path: str, handle: object) -> AsyncIterator[str]:
    from aiohttp import web

    app = web.Application()
    app.router.add_get(path, handle)  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield site.name
    await runner.cleanup()
