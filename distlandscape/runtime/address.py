"""Which Ray this process belongs to, and whether it answers; looked at before anything is started or joined."""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import os
import socket
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distlandscape.errors import InputError

ADDRESS, JOB, AUTH_MODE = "RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_AUTH_MODE"
SET_BY_RAY = (AUTH_MODE, "PYTHONBREAKPOINT", "RAY_CLIENT_MODE")
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0  # Ray's own client tries a dead address for 40 s
LOCAL = f"or unset {ADDRESS} to compute on a Ray of this process alone"


def named() -> str | None:
    """What the environment names: None for a local Ray, "auto", or HOST:PORT of a cluster.

    Raises:
        InputError: RAY_ADDRESS is an address of something else, or none.
    """
    value = os.environ.get(ADDRESS, "").strip()
    if not value:
        return "auto" if JOB in os.environ else None
    if value == "local":
        return None
    if value == "auto":
        return value
    scheme, separator, rest = value.rpartition("://")
    try:
        parts = urllib.parse.urlsplit(f"//{rest}")
        where = f"{parts.hostname}:{parts.port}" if parts.hostname and parts.port else None
    except ValueError:  # a port that is no number, or a bracket that is not closed
        parts, where = None, None
    if scheme in ("http", "https"):
        url = f"{scheme}://{where or 'HOST:PORT'}"
        raise InputError(
            f"{ADDRESS} is {url}, where Ray's Jobs API answers; hand the study over with distlandscape submit --address"
            f" {url}, set {ADDRESS} to HOST:PORT of the cluster's GCS (usually port 6379), {LOCAL}"
        )
    if "@" in value:  # nothing of what stands before it is shown: it may be a password
        raise InputError(
            f"{ADDRESS} names a user or password before {value.rpartition('@')[2][:80]!r}, and Ray's GCS knows none;"
            f" set it to HOST:PORT alone, and RAY_AUTH_TOKEN_PATH to the file with the cluster's token, {LOCAL}"
        )
    if separator:
        raise InputError(
            f"{ADDRESS} begins with {scheme}://, and a pool cannot compute through a Ray Client; on a machine of the"
            f" cluster set it to HOST:PORT of the GCS (usually port 6379), {LOCAL}"
        )
    if parts is None or where is None or parts.netloc != rest:  # a path or question follows
        raise InputError(
            f"{ADDRESS} is {value[:80]!r}, which is neither HOST:PORT, auto nor local; correct it, {LOCAL}"
        )
    return rest


@dataclass(frozen=True)
class Cluster:
    """A Ray that answers.

    Attributes:
        address: HOST:PORT of its GCS.
        on_loopback: whether its node on this machine is reached by this machine alone; Ray itself takes 127.0.0.1 for
            the machine's address on the network, where nobody listens then.
    """

    address: str
    on_loopback: bool


def find() -> Cluster | None:
    """The Ray to join, which answers and lets us in; None: a local one is to be started.

    Raises:
        InputError: a cluster is named and does not answer within seconds, wants another token, or this machine is none
            of its nodes.
    """
    address = named()
    if address is None:
        return None
    if address == "auto":
        address = _running()
    _require_listener(address)
    return Cluster(address, ipaddress.ip_address(_node_here(address, _alive_nodes(address))).is_loopback)


@contextlib.contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change variables of the environment for a while; None takes one out."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


@contextlib.contextmanager
def own_environment() -> Iterator[None]:
    """Undo afterwards what Ray sets in this process's environment: another server must not be sent its token."""
    before = {name: os.environ.get(name) for name in SET_BY_RAY}
    try:
        yield
    finally:
        told = os.environ.get(AUTH_MODE) == before[AUTH_MODE]
        _set(before)
        if not told:
            _untyped("ray._raylet").Config.initialize("")


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _running() -> str:
    """HOST:PORT of the Ray of this user that was started last on this machine, with its token where there is one.

    Ray itself would look at everybody's processes, and at a file that everybody may write: another user could have
    this one's token sent to a program of theirs, and the study's objects.
    """
    raylet, found = _untyped("ray._raylet"), _own_addresses()
    if not found:
        raise InputError(
            f"{ADDRESS} is auto, but no Ray of yours runs on this machine; start one (ray start --head, or"
            f" distlandscape up and submit), name its HOST:PORT, {LOCAL}"
        )
    if AUTH_MODE not in os.environ and raylet.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
        os.environ[AUTH_MODE] = "token"  # as ray.init("auto") does, and for no address that was spelled out
        raylet.Config.initialize("")
    return found[-1]


def _own_addresses() -> list[str]:
    """Addresses of the clusters whose node programs run here as this user's, in the order of their start."""
    psutil, flag, found = _untyped("ray._private.services").psutil, "--gcs-address=", {}
    for process in psutil.process_iter():
        try:
            mine, program = process.uids().real == os.getuid(), Path(process.exe()).name  # not by its own word
            if mine and program == "raylet":
                words = (word for argument in process.cmdline() for word in argument.split())
                addresses = (word.removeprefix(flag) for word in words if word.startswith(flag))
                found[process.create_time()] = next(addresses, "")
        except psutil.Error:  # it has ended
            continue
    return [address for _, address in sorted(found.items()) if address]


def _require_listener(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:  # the latter of a name that cannot be one of a host
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"no Ray answers at {address[:80]} ({why}), which {ADDRESS} means; start that cluster,"
            f" correct the address, {LOCAL}"
        ) from None


def _alive_nodes(address: str) -> dict[str, str]:
    """Id and address of each living node, asked from the cluster's GCS once."""
    from ray.exceptions import AuthenticationError

    grpc, messages = _untyped("grpc"), _untyped("ray.core.generated.gcs_service_pb2")
    channel = _untyped("ray._private.gcs_utils").create_gcs_channel(address)
    service = _untyped("ray.core.generated.gcs_service_pb2_grpc").NodeInfoGcsServiceStub(channel)
    refused = InputError(
        f"the Ray at {address} wants another token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file with"
        f" its token, {LOCAL}"
    )
    try:
        answer = service.GetAllNodeInfo(messages.GetAllNodeInfoRequest(), timeout=ANSWER_SECONDS)
    except AuthenticationError:  # there is no token to send
        raise refused from None
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            raise refused from None
        raise InputError(
            f"something listens at {address}, which {ADDRESS} means, but does not answer as Ray's GCS does"
            f" ({error.code().name}); correct the address (its port is usually 6379), {LOCAL}"
        ) from None
    finally:
        channel.close()
    alive = _untyped("ray.core.generated.gcs_pb2").GcsNodeInfo.ALIVE
    return {node.node_id.hex(): node.node_manager_address for node in answer.node_info_list if node.state == alive}


def _node_here(address: str, alive: Mapping[str, str]) -> str:
    """Address of the cluster's node on this machine: a driver needs one, and Ray would look for it for a minute."""
    here = _untyped("ray._private.services").find_node_ids()
    for node, where in alive.items():
        if node in here:
            return where
    raise InputError(
        f"the Ray at {address} answers, but no node of it runs on this machine; add it (ray start --address={address}),"
        f" hand the study over with distlandscape submit, {LOCAL}"
    )


def _untyped(name: str) -> Any:
    """A module that publishes no types of what is used of it."""
    return importlib.import_module(name)
