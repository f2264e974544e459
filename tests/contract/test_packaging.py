"""Traps of packaging: generic import names, shadowed packages, and what the wheel carries."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest

import schemas
import scorers
import sinks
import streams

ROOT = Path(__file__).parents[2]
OURS = ("schemas", "scorers", "sinks", "streams")


def test_no_other_distribution_owns_our_package_names() -> None:
    """A registry has a `schemas` of its own, which overwrites ours silently when something asks for it."""
    owners = packages_distributions()
    assert {name: set(owners.get(name, ())) - {"vedette-pipeline"} for name in OURS} == {name: set() for name in OURS}


@pytest.mark.parametrize("package", [schemas, scorers, sinks, streams])
def test_our_packages_are_imported_from_this_checkout(package: object) -> None:
    file = Path(str(getattr(package, "__file__", "")))
    assert file == ROOT / file.parent.name / "__init__.py"
    assert (file.parent / "py.typed").is_file()


def test_nobody_can_publish_the_pipeline_by_accident() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]


def test_the_pipeline_does_not_ask_a_registry_for_the_sdk() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert not [requirement for requirement in wanted if requirement.lower().startswith("vedette")]


def test_tests_are_no_package() -> None:
    """`tests/streams/__init__.py` would make `import streams` mean the tests."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_module_of_ours_shadows_the_standard_library_when_it_is_run_as_a_file() -> None:
    names = {path.stem for package in OURS for path in (ROOT / package).glob("*.py")}
    assert names & sys.stdlib_module_names == {"__init__"} & sys.stdlib_module_names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in the wheel, built without a network."""
    into = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = into.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_carries_our_four_packages_and_nothing_else(wheel: list[str]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {name.partition("/")[0] for name in wheel} == {*OURS, f"vedette_pipeline-{version}.dist-info"}


def test_the_wheel_carries_everything_that_is_read_at_run_time(wheel: list[str]) -> None:
    kept = {".sql", ".avsc", ".typed", ".lock", ".html", ".css", ".js", ".svg", ".py"}
    ours = {
        str(path.relative_to(ROOT))
        for package in OURS
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix in kept and "__pycache__" not in path.parts
    }
    assert ours - set(wheel) == set()


def test_what_is_installed_is_this_version() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    try:
        assert distribution("vedette-pipeline").version == wanted
    except PackageNotFoundError:
        pytest.fail("vedette-pipeline is not installed; run `make install`")
