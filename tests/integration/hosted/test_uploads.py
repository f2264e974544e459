"""Uploaded scorers as their authors and operators meet them: commands, a real api, a real build, evaluations that waited."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.example import Example, ScorerRef
from schemas.ids import record_key
from schemas.request import ScoreRequest
from schemas.topics import Topic
from scorers.hosted.index import Index
from streams.cli.client import ApiError, Client
from streams.local.ports import free_port
from streams.settings import Settings
from tests.support.bridge import make_key
from tests.support.hosted import builder, builds_served, open_folder
from tests.support.index import LocalIndex, serving, wheel
from tests.support.jobs import Installation

pytestmark = pytest.mark.integration

SCORER = """
from vedette.data import Example
from vedette.scorers import ExampleScorer
import parcels

class Inquiry(Example):
    response: str

class Mentions(ExampleScorer):
    name: str = "Mentions the parcel"
    threshold: float = 0.7

    async def a_score_example(self, example: Inquiry):
        return parcels.mentioned(example.response)
"""


@dataclass(frozen=True)
class Site:
    installation: Installation
    keys: dict[str, str]

    def api(self, who: str = "admin") -> Client:
        return Client(f"http://127.0.0.1:{self.installation.settings.api_port}", self.keys[who])

    def upload(
        self, project: str | None, name: str, code: str, who: str = "admin", **further: object
    ) -> dict[str, Any]:
        body = {"code": code, "requirements": "parcels", "name": name, **further}
        made: dict[str, Any] = self.api(who).post("/api/v1/scorers", body, project=project)
        return made

    def vedette(self, cwd: Path, *arguments: str, who: str = "admin", code: int = 0) -> tuple[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("VEDETTE_", "JUDGMENT_"))}
        told = {"VEDETTE_API_URL": self.api().url, "VEDETTE_ADMIN_KEY": self.keys[who]}
        command = [sys.executable, "-m", "vedette.cli", *arguments]
        done = subprocess.run(command, cwd=cwd, env=clean | told, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr


@pytest.fixture(scope="module")
def site(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = Settings(
        bootstrap_servers=kafka, topic_prefix=f"u{secrets.token_hex(4)}.", partitions=2, api_port=free_port(),
        runner_token=SecretStr("known to both"),
    )  # fmt: skip
    with serving(LocalIndex()) as index, open_folder() as folder:
        index.add(wheel("parcels", "1.0", {"parcels.py": "def mentioned(text): return 'parcel' in text"}))
        with builds_served(builder(Index(index.url), folder), settings) as url:
            settings = settings.model_copy(update={"runner_url": url})
            installation = Installation(settings, tmp_path_factory.mktemp("uploads"))
            keys = {
                "admin": make_key(settings, scopes=("admin",)),
                "shop": make_key(settings, scopes=("upload",), projects=("shop",)),
                "other": make_key(settings, scopes=("upload",), projects=("other",)),
                "several": make_key(settings, scopes=("upload",), projects=("a", "b")),
                "agent": make_key(settings, scopes=("ingest", "read")),
            }
            installation.start("streams.api.job", "sample", "later")
            yield Site(installation, keys)
            installation.stop()


def put(site: Site, project: str, scorer: str) -> str:
    identity = secrets.token_hex(8)
    example = Example(
        project=project, example_id=identity, fields='{"response": "a parcel"}', scorers=(ScorerRef(scorer=scorer),)
    )  # fmt: skip
    site.installation.put(Topic.EXAMPLES, record_key(project, identity), example)
    site.installation.flush()
    return identity


def asked(site: Site, example: str) -> list[tuple[str, str]]:
    """Scorer and version that the workers of hosted scorers are asked for, for an example."""
    found = site.installation.records(Topic.REQUESTS_HOSTED, ScoreRequest)
    return [
        (pair.scorer, pair.base_version) for request in found for pair in request.pairs if request.subjects[pair.subject].subject_id == example
    ]  # fmt: skip


def test_a_file_becomes_a_scorer_and_lets_those_go_that_waited_for_it(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mentions.py").write_text(SCORER)
    (tmp_path / "requirements.txt").write_text("parcels\nvedette\n")
    waiting = put(site, "shop", "Mentions the parcel")
    told, log = site.vedette(tmp_path, "upload_scorer", "mentions.py", "requirements.txt", who="shop")
    version = told.split("version ")[1].split(" ")[0]
    assert told == f"created: scorer 'Mentions the parcel' version {version} for project shop\n"
    assert "1 packages: parcels==1.0" in log
    assert "'vedette' is served by the sandbox" in log
    site.installation.until(lambda: asked(site, waiting) == [("Mentions the parcel", version)])
    at_once = put(site, "shop", "Mentions the parcel")
    site.installation.until(lambda: asked(site, at_once) == [("Mentions the parcel", version)])

    shown = site.api().get("/api/v1/scorers/Mentions%20the%20parcel", project="shop")
    assert (shown["code"], shown["requirements"]) == (SCORER, "parcels\nvedette\n")
    assert shown["lock"].startswith("parcels==1.0 --hash=sha256:")
    assert shown["manifest"]["fields"][-1] == "response"
    assert (shown["threshold"], shown["judges"], shown["by"] in site.keys["shop"]) == (0.7, "examples", True)
    out, err = site.vedette(tmp_path, "upload-scorer", "mentions.py", "requirements.txt", "-p", "shop", code=1)
    assert (out, "exists in project shop; upload it with --overwrite" in err) == ("", True)

    (found,) = site.api().get("/api/v1/documents", kind="scorer", project="shop")["documents"]
    document = found["document"]
    document["spec"]["with"] = {"bundle": "0" * 32}
    with pytest.raises(ApiError, match="vedette upload_scorer"):
        site.api().put("/api/v1/documents", [document], project="shop")


def test_versions_are_compared_disabled_and_enabled(site: Site, tmp_path: Path) -> None:
    first = site.upload("ops", "versioned", SCORER)
    assert site.upload("ops", "versioned", SCORER, overwrite=True)["result"] == "unchanged"
    name = ("versioned", "-p", "ops")
    assert site.vedette(tmp_path, "scorers", "disable", *name)[1] == "scorer 'versioned' of project ops is disabled\n"
    second = site.upload("ops", "versioned", SCORER.replace("0.7", "0.9"), overwrite=True)
    assert (second["result"], second["enabled"]) == ("changed", False)
    rows = [row.split() for row in site.vedette(tmp_path, "scorers", "ls", "-p", "ops")[0].splitlines()]
    assert [row[:7] for row in rows if row[0] == "versioned"] == [
        ["versioned", "ops", "hosted", "examples", "0.9", "False", second["version"]]
    ]
    difference = site.vedette(tmp_path, "scorers", "diff", *name[:1], first["version"][:8], *name[1:], code=3)[0]
    assert {"-0.7", "+0.9", "-True", "+False", "-    threshold: float = 0.7"} <= set(difference.splitlines())
    shown = site.vedette(tmp_path, "scorers", "show", *name)[0]
    code = SCORER.replace("0.7", "0.9").strip()
    assert [one in shown for one in (first["version"], second["version"], "parcels==1.0 --hash", code)] == [True] * 4
    site.vedette(tmp_path, "scorers", "enable", *name)
    assert "there is no scorer 'nobody'" in site.vedette(tmp_path, "scorers", "show", "nobody", code=1)[1]


def test_without_a_project_a_scorer_is_everybodys_and_a_projects_own_wins(site: Site) -> None:
    everybodys = site.upload(None, "shared", SCORER)
    assert everybodys["project"] == ""
    first = put(site, "other", "shared")
    site.installation.until(lambda: asked(site, first) == [("shared", everybodys["version"])])
    own = site.upload(None, "shared", SCORER.replace("0.7", "0.2"), who="other")
    assert (own["project"], own["result"], own["version"] != everybodys["version"]) == ("other", "created", True)
    second = put(site, "other", "shared")
    site.installation.until(lambda: asked(site, second) == [("shared", own["version"])])
    gone = site.api("other").delete("/api/v1/scorers/shared")
    assert (gone["result"], gone["version"]) == ("deleted", own["version"])
    with pytest.raises(ApiError, match="is the organization's") as refused:
        site.api("other").delete("/api/v1/scorers/shared")
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("who", "project", "status", "told"),
    [("agent", None, 403, "scope upload"), ("shop", "b", 403, "not project b"), ("several", None, 400, "may use a, b")],
)
def test_who_may_not_upload_is_told(site: Site, who: str, project: str | None, status: int, told: str) -> None:
    with pytest.raises(ApiError, match=told) as refused:
        site.upload(project, "forbidden", SCORER, who)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("code", "requirements", "status", "told"),
    [
        ("x = 1\n", "", 400, "there is no scorer"),
        (SCORER, "-r /etc/passwd", 400, "line 1: -r /etc/passwd: options are not taken"),
        (SCORER, "nobody-has-this", 422, "nobody-has-this: the index has no such project"),
        (SCORER, "", 422, "No module named 'parcels'"),
    ],
)
def test_what_cannot_be_built_is_told_with_the_reason_and_keeps_nothing(
    site: Site, code: str, requirements: str, status: int, told: str
) -> None:
    with pytest.raises(ApiError, match=told) as refused:
        site.upload("broken", "never", code, requirements=requirements)
    assert refused.value.status == status
    assert "never" not in [one["name"] for one in site.api().get("/api/v1/scorers", project="broken")["scorers"]]


def test_the_api_describes_uploads(site: Site) -> None:
    paths = site.api().get("/api/v1/openapi.json")["paths"]
    assert set(paths["/api/v1/scorers"]) == {"get", "post"}


def test_an_upload_whose_sender_does_not_wait_is_kept_when_it_is_built(site: Site) -> None:
    with pytest.raises(ApiError, match="timed out"):
        site.api().within(0.2).post("/api/v1/scorers", {"code": SCORER, "requirements": "parcels", "name": "impatient"})

    def names() -> list[str]:
        return [one["name"] for one in site.api().get("/api/v1/scorers")["scorers"]]

    site.installation.until(lambda: "impatient" in names())
