"""The two programs ``up`` starts: their command lines, their environment, and how one sees that they answer."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

from distlandscape.service.processes import free_port
from distlandscape.service.state import State

HOST = "127.0.0.1"
RAY_PORT, MLFLOW_PORT = 8265, 5000  # where people look for them; free ones where these are taken
STOP_SECONDS = 60  # what a job gets to write what it has before Ray kills it


@dataclass(frozen=True)
class Program:
    """A server to be started.

    Attributes:
        command: its argument list.
        environment: what is added to the environment.
        address: where it will answer.
        answers: asks it once.
        gcs: address programs join Ray by; empty where it is no Ray.
    """

    command: list[str]
    environment: dict[str, str]
    address: str
    answers: Callable[[], bool]
    gcs: str = ""


def ray_head(state: State, temp: Path, cpus: int | None, gpus: int | None, tracking: str) -> Program:
    """A Ray head with its job server and dashboard; every port on loopback, every request with a token.

    Ray opens the folder it is given to everybody, so it gets one inside of ``temp``, which nobody else can enter. Jobs
    find this environment's ``python``, and the tracking server where their configuration names none.
    """
    gcs, dashboard = free_port(), free_port(RAY_PORT)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--node-ip-address", HOST, "--port", str(gcs), "--temp-dir", str(temp / "ray")]
    command += ["--include-dashboard", "true", "--dashboard-host", HOST, "--dashboard-port", str(dashboard)]
    # Their defaults are fixed numbers, which a second Ray on the machine holds already.
    for option in ("dashboard-agent-listen-port", "ray-client-server-port"):
        command += [f"--{option}", str(free_port())]
    command += ["--min-worker-port", "0", "--max-worker-port", "0"]
    command += [] if cpus is None else ["--num-cpus", str(cpus)]
    command += [] if gpus is None else ["--num-gpus", str(gpus)]
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(state.token),
        # Undocumented: turned off, it makes every port bind 127.0.0.1. ``up`` looks at the sockets afterwards.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # ``down`` has ended the jobs; a head has nowhere to drain to
        "MLFLOW_TRACKING_URI": tracking,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }
    address = f"http://{HOST}:{dashboard}"
    token = state.token.read_text(encoding="ascii").strip()
    header = {"Authorization": f"Bearer {token}"}
    return Program(command, environment, address, lambda: node_is_alive(address, header), f"{HOST}:{gcs}")


def tracking_server(state: State) -> Program:
    """An MLflow server over sqlite that serves artifacts itself and reads no pickles."""
    port = free_port(MLFLOW_PORT)
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{state.folder / 'mlflow.db'}"]
    command += ["--serve-artifacts", "--artifacts-destination", str(state.folder / "artifacts")]
    command += ["--allowed-hosts", f"{HOST}:{port},localhost:{port}"]
    command += ["--cors-allowed-origins", f"http://{HOST}:{port},http://localhost:{port}"]
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    address = f"http://{HOST}:{port}"
    return Program(command, environment, address, lambda: answers(f"{address}/health", {}))


def environment_for(program: Program, stamp: dict[str, str]) -> dict[str, str]:
    """The environment of a program: this one, without what would lead it to another Ray or another token."""
    foreign = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR")
    return {key: value for key, value in os.environ.items() if key not in foreign} | program.environment | stamp


def answers(url: str, headers: Mapping[str, str]) -> bool:
    """Whether a server answers a GET with success."""
    return http_status(url, headers) == 200


def node_is_alive(address: str, headers: Mapping[str, str]) -> bool:
    """Whether the head's node takes work: the job server answers earlier, and also where the node never gets up."""
    try:
        with _open(f"{address}/api/v0/nodes", headers, 2.0) as answer:
            nodes = json.load(answer)["data"]["result"]["result"]
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except (OSError, ValueError, LookupError, TypeError):  # nobody there yet, or another server
        return False
    return any(node["is_head_node"] and node["state"] == "ALIVE" for node in nodes)


def asks_for_a_token(address: str) -> bool:
    """Whether a Ray dashboard answers there that wants a token; it says so to everyone, another program does not."""
    try:
        with _open(f"{address}/api/authentication_mode", {}, 5.0) as answer:
            return bool(json.load(answer)["authentication_mode"] == "token")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def http_status(url: str, headers: Mapping[str, str], seconds: float = 2.0) -> int | None:
    """The status a server answers a GET with, None where it does not; a proxy of the environment is not asked."""
    try:
        with _open(url, headers, seconds) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ValueError):
        return None


def _open(url: str, headers: Mapping[str, str], seconds: float) -> HTTPResponse:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer: HTTPResponse = opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=seconds)
    return answer
