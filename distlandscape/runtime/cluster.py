"""What the Ray that this process is connected to could hold, and whether it grows by itself."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

UNIT = 10_000  # Ray counts resources in ten-thousandths
NODE_GROUP = "ray.io/node-group"  # label of nodes whose type somebody named


def places(needs: Mapping[str, float]) -> int:
    """How many workers that need "num_cpus" and "num_gpus" fit onto the living nodes, were they idle."""
    return sum(_fit(node["Resources"], needs) for node in _alive())


def adds_nodes() -> bool:
    """Whether an autoscaler looks after this cluster; each head has a monitor, most of which only mirror the nodes."""
    from ray._private import ray_constants
    from ray.experimental.internal_kv import _internal_kv_get

    status: bytes | None = _internal_kv_get(ray_constants.DEBUG_AUTOSCALING_STATUS)
    if status is not None and names_types(json.loads(status)):
        return True
    keys: Any = importlib.import_module("ray._raylet")
    second = _internal_kv_get(  # Ray's second autoscaler writes no such status
        keys.GCS_AUTOSCALER_V2_ENABLED_KEY, namespace=keys.GCS_AUTOSCALER_STATE_NAMESPACE
    )
    return second == b"1" and any(NODE_GROUP in (node.get("Labels") or {}) for node in _alive())


def names_types(status: Mapping[str, Any]) -> bool:
    """Whether a monitor's status has nodes of types somebody named: a mirror makes each node a type of its own."""
    types = (status.get("autoscaler_report") or {}).get("node_type_mapping") or {}
    return any(name != f"node_{node}" for node, name in types.items())


def amounts(resources: Mapping[str, float]) -> str:
    """Resources in words, without those that are zero beside others."""
    shown = [f"{amount:g} {name}" for name, amount in resources.items() if amount or name == "CPU"]
    return " and ".join(shown)


def _alive() -> list[dict[str, Any]]:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _fit(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    wanted = {"CPU": needs["num_cpus"], "GPU": needs["num_gpus"]}
    return min(round(resources.get(n, 0.0) * UNIT) // max(1, round(a * UNIT)) for n, a in wanted.items() if a)
