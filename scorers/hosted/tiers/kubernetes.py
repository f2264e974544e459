"""Kubernetes: the runner's pod in a RuntimeClass (gVisor, Kata). Configuration: inside the pod, another tier holds the scorers apart."""

from dataclasses import dataclass, field

from scorers.hosted.sandbox import WORKER, Cell, NoRoom, Probe, Program, Room

Manifest = dict[str, object]


@dataclass(frozen=True)
class Kubernetes:
    """A pod whose kernel is not the node's; nothing else than the runner is in it."""

    runtime_class: str = "gvisor"
    image: str = "vedette:latest"
    memory: str = "4Gi"
    cpu: str = "2"
    labels: dict[str, str] = field(
        default_factory=lambda: {"app.kubernetes.io/name": "vedette", "vedette.dev/job": "runner"}
    )
    name: str = "kubernetes"

    def probe(self) -> Probe:
        """Returns that a pod is deployed, not started: nothing here shows that it holds."""
        return Probe(holds=False, why="a pod is deployed, not started by a runner: docs/hosted-threats.md, Kubernetes")

    async def start(self, room: Room, program: Program = WORKER) -> Cell:
        """Starts nothing.

        Raises:
            NoRoom: always.

        """
        raise NoRoom(f"{program.argv[0]} in {room.code} cannot be started: {self.probe().why}")

    def pod(self, kafka: str) -> Manifest:
        """Returns the runner's pod: no token, no privilege, no writable root, one volume in memory for builds.

        Args:
            kafka: the brokers, `host:port,…`.

        """
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "vedette-runner", "labels": self.labels},
            "spec": {
                "runtimeClassName": self.runtime_class,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [self._container(kafka)],
                "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "4Gi"}}],
            },
        }

    def _container(self, kafka: str) -> Manifest:
        share = {"memory": self.memory, "cpu": self.cpu}
        return {
            "name": "runner",
            "image": self.image,
            "args": ["runner"],
            "env": [{"name": "VEDETTE_BOOTSTRAP_SERVERS", "value": kafka}],
            "resources": {"requests": share, "limits": share},
            "volumeMounts": [{"name": "data", "mountPath": "/var/lib/vedette"}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
