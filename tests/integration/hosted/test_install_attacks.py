"""What a requirement or a package can try while it is installed, against a real pip in a real sandbox and an index of one's own.

The attacks are those that work against plain pip: code of source distributions, options in the file, expanded variables, files of
the host, `.pth` files, a second index, a swapped wheel, archives that write elsewhere, hostile names, bombs.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scorers.hosted.build import Builder, BuildFailed, Built
from scorers.hosted.bundle import Bundle
from scorers.hosted.index import MIB, Budget, Index
from tests.support.hosted import builder, open_folder
from tests.support.index import LocalIndex, sdist, serving, wheel

SCORER = """
from vedette import ExampleScorer

class Mine(ExampleScorer):
    async def a_score_example(self, example):
        return 1.0
"""


@pytest.fixture
def index() -> Iterator[LocalIndex]:
    with serving(LocalIndex()) as local:
        yield local


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def build(index: LocalIndex, folder: Path) -> Builder:
    return builder(Index(index.url), folder)


async def failed(build: Builder, requirements: str, code: str = SCORER) -> str:
    with pytest.raises(BuildFailed) as refused:
        await build.build(Bundle(code, requirements))
    return refused.value.log


def evil(marker: Path) -> str:
    return f"open({str(marker)!r}, 'a').write('ran'); print('RAN AT INSTALL')\nfrom setuptools import setup\nsetup(name='evil')\n"


async def test_1_a_source_distribution_is_not_even_fetched(build: Builder, index: LocalIndex, folder: Path) -> None:
    index.add(sdist("evil", "1.0", evil(folder / "marker")))
    log = await failed(build, "evil")
    assert "the index has no wheels of it" in log
    assert (index.asked, (folder / "marker").exists(), "RAN" in log) == (["/simple/evil/"], False, False)


async def test_2_a_newer_source_distribution_does_not_win_over_a_wheel(
    build: Builder, index: LocalIndex, folder: Path
) -> None:
    index.add(sdist("evil", "2.0", evil(folder / "marker")))
    index.add(wheel("evil", "1.0"))
    index.add(wheel("honest", requires=("evil",)))
    built = await build.build(Bundle(SCORER, "honest"))
    assert [line.split(" ")[0] for line in built.lock.splitlines()] == ["evil==1.0", "honest==1.0"]
    assert [path for path in index.asked if "tar.gz" in path] == []


@pytest.mark.parametrize(
    "line",
    ["--no-binary :all:", "--find-links /var/tmp", "--extra-index-url http://127.0.0.1:9/simple"],
)
async def test_3_an_option_line_is_refused_before_pip_sees_it(build: Builder, index: LocalIndex, line: str) -> None:
    assert "line 2: " in await failed(build, f"evil\n{line}")
    assert index.asked == []


async def test_4_a_variable_is_not_expanded(build: Builder, index: LocalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-secret")
    for line in ("x @ https://127.0.0.1:9/${SLACK_TOKEN}/x.whl", "x; python_version < '${SLACK_TOKEN}'"):
        assert "xoxb" not in await failed(build, line)
    assert index.asked == []


async def test_5_a_file_of_the_host_is_not_read(build: Builder, folder: Path) -> None:
    (folder / "secret").write_text("root:$6$hash:19000\n")
    for line in (f"-r {folder}/secret", f"-c {folder}/secret", f"x @ file://{folder}/secret", str(folder)):
        assert "$6$" not in await failed(build, line)


async def test_6_a_pth_file_is_not_run_and_the_hosts_python_does_not_see_it(
    build: Builder, index: LocalIndex, folder: Path
) -> None:
    hook = f"import sys; print('RAN AT START', file=sys.stderr); open({str(folder / 'marker')!r}, 'w')\n"
    index.add(
        wheel("hook", files={"hook.pth": hook, "hook.py": "", "sitecustomize.py": hook, "usercustomize.py": hook})
    )
    built = await build.build(Bundle(SCORER, "hook"))
    assert built.place.packages is not None
    assert (built.place.packages / "hook.pth").exists()
    assert ("RAN" in built.log, (folder / "marker").exists()) == (False, False)
    assert str(built.place.packages) not in sys.path


async def test_7_of_two_indexes_only_ours_is_asked(
    build: Builder, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(wheel("internal", "1.0"))
    with serving(LocalIndex()) as public:
        public.add(wheel("internal", "99.0"))
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_FIND_LINKS"):
            monkeypatch.setenv(name, public.url)
        built = await build.build(Bundle(SCORER, "internal"))
        assert (built.lock.split(" ")[0], public.asked) == ("internal==1.0", [])


async def test_8_a_package_cannot_send_pip_to_another_address(build: Builder, index: LocalIndex) -> None:
    with serving(LocalIndex()) as other:
        name = other.add(wheel("further"))
        url = f"{other.url.removesuffix('/simple/')}/files/{name}"
        index.add(wheel("leads", requires=(f"further @ {url}",)))
        await failed(build, "leads")
        assert other.asked == []


async def test_9_a_wheel_that_was_swapped_after_the_lock_is_refused(
    index: LocalIndex, folder: Path, fresh: Path
) -> None:
    index.add(wheel("shop", files={"shop.py": "x = 'honest'"}))
    built = await builder(Index(index.url), folder).build(Bundle(SCORER, "shop"))
    index.add(wheel("shop", files={"shop.py": "x = 'swapped'"}))
    with pytest.raises(BuildFailed) as refused:
        await builder(Index(index.url), fresh).prepare(Bundle(SCORER, "shop"), built.lock)
    assert "hash" in refused.value.log.lower()
    assert list((fresh / "packages").iterdir()) == []
    kept = await builder(Index(index.url), folder).prepare(Bundle(SCORER, "shop"), built.lock)
    assert kept == built.place


async def test_10_an_archive_cannot_write_outside_its_folder(build: Builder, index: LocalIndex, folder: Path) -> None:
    files = {
        "escape.py": "",
        "../escaped.py": "x",
        "../../../../../../../../var/tmp/vedette-escaped.py": "x",
        "/var/tmp/vedette-escaped.py": "x",
        "escape-1.0.data/data/../../../escaped.py": "x",
    }
    index.add(wheel("escape", files=files))
    await failed(build, "escape")
    assert not Path("/var/tmp/vedette-escaped.py").exists()
    assert list(folder.rglob("*escaped*")) == []


async def test_11_hostile_names_shadow_nothing(build: Builder, index: LocalIndex, folder: Path) -> None:
    bad = "raise SystemExit('SHADOWED')\n"
    index.add(
        wheel(
            "names", files={f"{name}.py": bad for name in ("json", "vedette", "judgeval", "scorer", "asyncio", "pip")}
        )
    )
    for name in ("names-1.0-py3-none-../../evil.whl", "names-9.0-py3-none-any\r\nx.whl", f"names-8.0-{'a' * 300}-py3-none-any.whl"):  # fmt: skip
        index.files[name] = wheel("names", "9.0")[1]
    code = f"import json, asyncio, vedette, judgeval\nassert 'SHADOWED' not in str(json)\n{SCORER}"
    built = await build.build(Bundle(code, "names"))
    assert built.lock.startswith("names==1.0 ")
    assert built.manifest.class_name == "Mine"


async def test_12_bombs_end_at_the_limits(index: LocalIndex, fresh: Path) -> None:
    index.add(wheel("bomb", files={"bomb.py": b"\0" * (8 * MIB)}))
    index.add(wheel("many", files={f"many/{number}.py": "" for number in range(300)}))
    for number in range(5):
        index.add(wheel(f"chain{number}", requires=(f"chain{number + 1}",) if number < 4 else ()))
    small = builder(Index(index.url), fresh, Budget(packages=4, bytes=4 * MIB, files=200))
    assert "bomb-1.0-py3-none-any.whl unpacks to 8 MiB" in await failed(small, "bomb")
    assert "many-1.0-py3-none-any.whl holds 303 files; 200 are left" in await failed(small, "many")
    assert "more packages than a build may have" in await failed(small, "chain0")
    assert not (fresh / "packages").exists()


async def test_a_build_that_takes_too_long_ends_and_leaves_nothing(index: LocalIndex, folder: Path) -> None:
    for version in range(40):
        for name in ("one", "two"):
            index.add(wheel(name, f"{version}.0", requires=(f"three=={version}.{0 if name == 'one' else 1}",)))
        index.add(wheel("three", f"{version}.0"))
    assert "not done within 2 s" in await failed(builder(Index(index.url), folder, within_s=2), "one\ntwo")
    assert list((folder / "work").iterdir()) == []


async def test_what_was_installed_is_read_only_and_shared_by_its_lock(build: Builder, index: LocalIndex) -> None:
    index.add(wheel("shop", files={"shop/__init__.py": "x = 1", "shop/data.txt": "d"}))
    first: Built = await build.build(Bundle(SCORER, "shop"))
    asked = len(index.asked)
    second = await build.build(Bundle(SCORER.replace("1.0", "0.5"), "shop==1.0"))
    assert (first.place.packages, first.lock) == (second.place.packages, second.lock)
    assert first.place.code != second.place.code
    assert len(index.asked) - asked == 2
    assert first.place.packages is not None
    modes = {oct(path.stat().st_mode & 0o222) for path in [first.place.packages, *first.place.packages.rglob("*")]}
    owners = {path.stat().st_uid for path in first.place.packages.rglob("*")}
    assert (modes, owners) == ({"0o0"}, {os.geteuid()})


async def test_packages_that_were_not_used_for_long_go_when_others_are_installed_and_come_again(
    index: LocalIndex, fresh: Path
) -> None:
    for name in ("first", "second"):
        index.add(wheel(name, files={f"{name}.py": "x = 1"}))
    roomy = builder(Index(index.url), fresh)
    full = replace(roomy, installer=replace(roomy.installer, most_bytes=1))
    bundle = Bundle(SCORER, "first")
    first = await full.build(bundle)
    assert first.place.packages is not None
    assert first.place.packages.exists(), "it is in use"
    for path in (first.place.packages, first.place.code):
        os.utime(path, (0, 0))
    second = await full.build(Bundle(SCORER.replace("1.0", "0.5"), "second"))
    assert list((fresh / "packages").iterdir()) == [second.place.packages]
    assert list((fresh / "code").iterdir()) == [second.place.code]
    before = len(index.asked)
    again = await full.prepare(bundle, first.lock)
    assert (again, (first.place.packages / "first.py").read_text()) == (first.place, "x = 1")
    assert len(index.asked) > before
    assert again.code.exists()
    assert await full.build(bundle) is not None
    assert list((fresh / "work").iterdir()) == []


async def test_a_scorer_that_cannot_be_made_is_refused_with_its_own_traceback(
    build: Builder, index: LocalIndex
) -> None:
    log = await failed(build, "", f"{SCORER}\nimport nonsense_that_nobody_has\n")
    assert "the scorer cannot be made" in log
    assert "add what brings `nonsense_that_nobody_has` to the requirements" in log
    log = await failed(build, "", SCORER.replace("async def", "raise RuntimeError('at the top')\n    async def"))
    assert "at the top" in log
    assert index.asked == []
