"""The job `runner`: hosted scorers judge in sandboxes, and what is uploaded is built in them.

It is a scoring worker (`streams/score.py`) whose scorers ask a pool of sandboxes. At its start it takes the best tier that this machine
offers and attacks it; where none holds, nothing is built, and every evaluation gets an `error` with the reason. On a port of its own it
answers the api: `POST /builds` and `POST /tries`.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import Gauge

from schemas.documents.bundle import BundleSpec
from schemas.documents.scorer import ScorerSpec
from schemas.net_guard import networks
from scorers.hosted import door
from scorers.hosted.attacks.selftest import remembered
from scorers.hosted.best import best
from scorers.hosted.build import Builder, Built
from scorers.hosted.bundle import Bundle
from scorers.hosted.egress import Egress
from scorers.hosted.gateway import Gateway
from scorers.hosted.judge import Hosted, Refusing
from scorers.hosted.line import Key
from scorers.hosted.pool import Pool
from scorers.hosted.rooms import Rooms
from scorers.hosted.sandbox import Limits, Sandbox
from scorers.hosted.turns import Terms
from scorers.providers.caller import Provider
from streams import providers, runner_builds, runner_tries, score
from streams.bench import Bench, Own, Ready
from streams.logic.configuration import Configuration
from streams.runner_dir import runner_dir
from streams.settings import Settings

log = structlog.get_logger()

IN_FLIGHT = 1500

HEEDS: tuple[Own, ...] = ("threshold", "model", "options")
"""What of a request's own a scorer finds on itself."""

HOLDS = Gauge("vedette_sandbox_holds", "1: the sandbox tier of this runner holds", ["tier"])


def main(settings: Settings) -> None:
    """Runs the job until SIGTERM."""
    runner = Runner(settings, Configuration)
    job = score.worker("runner", settings, {"hosted": Bench(runner.make, HEEDS)}, IN_FLIGHT)
    runner.known = lambda: job.known
    job.around(runner)
    job.run()


@dataclass(frozen=True)
class Tier:
    """The sandbox of this machine, or why there is none."""

    sandbox: Sandbox | None
    told: str
    has_doors: bool = False


async def tier(folder: Path) -> Tier:
    """Returns the best tier that starts here, if it holds against the attacks; what it withstood is remembered in `folder`."""
    found = await asyncio.to_thread(best)
    if found.sandbox is None:
        return Tier(None, found.told)
    report = await remembered(found.sandbox, folder)
    if not report.holds:
        return Tier(None, f"no sandbox tier holds here, uploads are refused; {report}")
    return Tier(found.sandbox, found.told, found.sandbox.probe().door)


class Runner:
    """What the job holds while it runs: the pool, the gateway, the doors, and the port for the api."""

    pool: Pool
    builder: Builder

    def __init__(self, settings: Settings, known: Callable[[], Configuration]) -> None:
        self.settings, self.known = settings, known
        self.tier = Tier(None, "the runner has not started")
        self._held = AsyncExitStack()
        self._chosen = asyncio.Event()
        """The tier is known, and what needs it is open."""

    async def __aenter__(self) -> "Runner":
        """Chooses the tier and opens everything.

        Raises:
            RuntimeError: the folder or the port is somebody else's.

        """
        folder = runner_dir(self.settings)
        await self._serve()
        self.tier = await tier(folder)
        holds = self.tier.sandbox is not None
        HOLDS.labels(self.tier.sandbox.name if self.tier.sandbox else "none").set(holds)
        (log.info if holds else log.error)(self.tier.told)
        if self.tier.sandbox is not None:
            await self._open(self.tier.sandbox, folder)
        self._chosen.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends every sandbox and closes everything."""
        await self._held.aclose()

    async def _open(self, sandbox: Sandbox, folder: Path) -> None:
        settings, private = self.settings, networks(self.settings.private_networks)
        caller = await self._held.enter_async_context(providers.calling(settings, folder, "runner"))
        gateway = Gateway(self.provider, caller)
        doors = self._held.enter_context(_folder_of_doors())
        self.builder = runner_builds.builder(settings, sandbox, folder, door.environment())
        pruning = asyncio.ensure_future(self.builder.installer.prune())
        self._held.push_async_callback(asyncio.wait, [pruning])
        limits = Limits(memory_mib=settings.runner_memory_mib)
        egress = Egress(settings.egress_allow, private)
        rooms = Rooms(sandbox, self.builder, self.code, gateway, egress, doors, limits, self.tier.has_doors)
        self.pool = Pool(rooms.open, Terms(cells=settings.runner_cells))
        self._held.push_async_callback(self.pool.close)

    async def _serve(self) -> None:
        if not self.settings.runner_port:
            return
        app = web.Application(client_max_size=8 * 1024 * 1024, middlewares=[self._when_chosen])
        app.add_routes(self._routes())
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._held.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, self.settings.host, self.settings.runner_port).start()
        except OSError as error:
            raise RuntimeError(
                f"VEDETTE_RUNNER_PORT={self.settings.runner_port} cannot be listened on: {error}"
            ) from error

    def _routes(self) -> Iterable[web.RouteDef]:
        builds = runner_builds.routes(self._build, self.settings, lambda: "" if self.tier.sandbox else self.tier.told)
        return [*builds, *runner_tries.routes(self.find, self.settings), web.get("/sandbox", self._told)]

    @web.middleware
    async def _when_chosen(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        await self._chosen.wait()
        return await handler(request)

    async def _told(self, _: web.Request) -> web.Response:
        return web.json_response({"holds": self.tier.sandbox is not None, "told": self.tier.told})

    async def _build(self, bundle: Bundle) -> Built:
        return await self.builder.build(bundle)

    def make(self, spec: ScorerSpec, project: str, name: str, configuration: Configuration) -> Ready:
        """Returns a hosted scorer of a project; it bounds time and number by itself.

        Raises:
            ValueError: its document names no code.

        """
        return Ready(spec, self.hosted(spec, project, name, configuration), slots=None)

    def hosted(self, spec: ScorerSpec, project: str, name: str, configuration: Configuration) -> Hosted | Refusing:
        """Returns what judges for a spec, or what tells why nothing can. Raises like `make`."""
        if self.tier.sandbox is None:
            return Refusing(self.tier.told)
        bundle = bundle_of(configuration, project, str(spec.with_.get("bundle")))
        kind = bundle.manifest.kind if bundle.manifest else "example"
        key = Key(project, name, str(spec.with_["bundle"]))
        overlay: dict[str, object] = {own: spec.with_[own] for own in HEEDS if own in spec.with_}
        return Hosted(self.pool, key, spec.timeout, kind, self.tier.has_doors, overlay)

    def find(self, project: str, name: str, version: str) -> tuple[ScorerSpec, Hosted | Refusing]:
        """Returns the scorer of a project by its version. Raises `LookupError`."""
        configuration = self.known()
        found = configuration.version("Scorer", project, name, version)
        if found is None:
            raise LookupError(f"the runner does not know version {version!r} of scorer {name!r} yet: try again")
        spec = ScorerSpec.model_validate_json(found.spec)
        try:
            return spec, self.hosted(spec, project, name, configuration)
        except ValueError as error:
            raise LookupError(str(error)) from error

    def code(self, key: Key) -> tuple[Bundle, str]:
        """Returns the code of a scorer version and its lock. Raises `ValueError`."""
        found = bundle_of(self.known(), key.project, key.version)
        return Bundle(found.code, found.requirements), found.lock

    def provider(self, project: str, name: str) -> Provider:
        """Returns the provider that a project means by a name: its own, else the organization's, as it is now.

        Raises:
            LookupError: there is none, or its key cannot be read; the text says what to do.

        """
        return providers.named(self.known(), project, name, self.settings)


@contextmanager
def _folder_of_doors() -> Iterator[Path]:
    """A folder with a short name, as sockets want it, that others may pass and not list."""
    folder = Path(tempfile.mkdtemp(prefix="vedette-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def bundle_of(configuration: Configuration, project: str, name: str) -> BundleSpec:
    """Returns uploaded code by its id.

    Raises:
        ValueError: there is none.

    """
    found = configuration.newest("Bundle", project, name)
    if found is None:
        raise ValueError(f"there is no uploaded code {name!r}: upload it again with `vedette upload_scorer`")
    return BundleSpec.model_validate_json(found.spec)
