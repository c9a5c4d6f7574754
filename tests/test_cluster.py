"""What brings clusters up is checked without any: Ray's schema, the shape of KubeRay's resources, agreeing versions."""

from __future__ import annotations

import json
import re
import subprocess
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CLUSTER = ROOT / "cluster"
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line and line[0] != "#"
)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
KUBERAY = {
    "RayCluster": {
        "rayVersion": str,
        "authOptions": dict,
        "enableInTreeAutoscaling": bool,
        "autoscalerOptions": dict,
        "headGroupSpec": dict,
        "workerGroupSpecs": list,
    },
    "RayJob": {
        "entrypoint": str,
        "submissionMode": str,
        "backoffLimit": int,
        "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int,
        "submitterPodTemplate": dict,
        "rayClusterSpec": dict,
    },
}
GROUP = {
    "groupName": str,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
    "rayStartParams": dict,
    "template": dict,
}


def documents(name):
    return list(yaml.safe_load_all((CLUSTER / "kuberay" / name).read_text()))


def cluster_specs():
    (cluster,), (job,) = documents("raycluster.yaml"), documents("rayjob.yaml")
    return [cluster["spec"], job["spec"]["rayClusterSpec"]]


def test_ray_up_obeys_the_schema_of_ray():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(find_spec("ray").origin).parent / "autoscaler" / "ray-schema.json").read_text())
    config = yaml.safe_load((CLUSTER / "ray-up-aws.yaml").read_text())
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):  # the schema does say no
        jsonschema.validate({**config, "head_node": {}}, schema)
    head, workers = config["available_node_types"]["head"], config["available_node_types"]["gpu_spot"]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert workers["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert workers["max_workers"] <= config["max_workers"]
    for command in (config["head_start_ray_commands"][1], config["worker_start_ray_commands"][1]):
        assert "; RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/home/ray/ray-token " in command
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][1]


@pytest.mark.parametrize(("name", "kind"), [("raycluster.yaml", "RayCluster"), ("rayjob.yaml", "RayJob")])
def test_resources_of_kuberay_have_its_shape(name, kind):
    (document,) = documents(name)
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", kind)
    shape(document["spec"], KUBERAY[kind])
    cluster = document["spec"].get("rayClusterSpec", document["spec"])
    shape(cluster, KUBERAY["RayCluster"])
    for group in cluster["workerGroupSpecs"]:
        shape(group, GROUP)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def shape(spec, allowed):
    for key, value in spec.items():
        assert type(value) is allowed[key], key


def test_pods_are_confined_and_share_the_volume():
    (claim, policy) = documents("shared.yaml")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    among, operator = policy["spec"]["ingress"]
    assert among == {"from": [{"podSelector": {"matchLabels": chosen}}]}  # of this namespace
    # The label that the operator's pod has from its Helm chart and from its kustomization alike.
    assert operator["from"][0]["podSelector"] == {"matchLabels": {"app.kubernetes.io/component": "kuberay-operator"}}
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    for spec in cluster_specs():
        assert spec["authOptions"] == {"mode": "token"}
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            template = group["template"]
            assert chosen.items() <= template["metadata"]["labels"].items()
            assert template["spec"]["securityContext"]["runAsNonRoot"]
            (container,) = template["spec"]["containers"]
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} == {
                v["name"] for v in template["spec"]["volumes"]
            }
            assert template["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        workers = spec["workerGroupSpecs"][0]["template"]["spec"]
        assert workers["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
        taints = {toleration["key"] for toleration in workers["tolerations"]}
        assert taints == {"nvidia.com/gpu", "cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"}
        assert {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}} in workers["volumes"]
        if spec["enableInTreeAutoscaling"]:  # the second version takes a restarted pod for another node
            assert spec["autoscalerOptions"]["version"] == "v2"
            templates = [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
            assert {template["restartPolicy"] for template in templates} == {"Never"}
            assert spec["headGroupSpec"]["template"]["spec"]["automountServiceAccountToken"]


def test_a_retried_job_goes_on_where_the_last_one_was():
    (job,) = documents("rayjob.yaml")
    words = job["spec"]["entrypoint"].split()
    (policy,) = (document for document in documents("shared.yaml") if document["kind"] == "NetworkPolicy")
    allowed = policy["spec"]["podSelector"]["matchLabels"]
    assert allowed.items() <= job["spec"]["submitterPodTemplate"]["metadata"]["labels"].items()
    assert words[1] == "/opt/distlandscape/jobs/retry.py"
    assert (ROOT / "jobs" / "retry.py").exists()
    assert words[words.index("--out") + 1].startswith("/shared/")


def test_versions_agree_with_the_pins():
    docker = (CLUSTER / "Dockerfile").read_text()
    assert set(re.findall(r"rayproject/ray:([\d.]+)-py311", docker)) == {PINS["ray"]}
    assert re.findall(r"torch==(\S+)", docker) == [PINS["torch"]]
    assert tuple(int(part) for part in PINS["ray"].split(".")) >= (2, 52)  # token authentication of KubeRay
    for spec in cluster_specs():
        assert spec["rayVersion"] == PINS["ray"]
    text = "".join(file.read_text() for file in CLUSTER.rglob("*") if file.is_file())
    assert set(re.findall(r"distlandscape:(\d[\d.]*\d)", text)) == {VERSION}


def test_no_secret_is_written_down():
    for file in CLUSTER.rglob("*"):
        if file.is_file():
            assert not re.search(r"RAY_AUTH_TOKEN=[^…\s]|[0-9a-f]{32}|AKIA", file.read_text()), file


def test_the_script_for_hosts_says_how_it_is_used():
    script = CLUSTER / "bare-metal.sh"
    environment = {"PATH": "/usr/bin:/bin", "VENV": "/v", "SHARED": "/s"}
    done = subprocess.run(["sh", script, "up"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage" in done.stderr
    done = subprocess.run(
        ["sh", script, "up", "h"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "set VENV" in done.stderr


def eventually(file, word):
    """What a file holds once a word is in it."""
    for _ in range(100):
        if word in file.read_text():
            break
        time.sleep(0.1)
    return file.read_text()


def test_the_script_for_hosts_starts_and_ends_what_it_started(tmp_path):
    """With a stand-in for ssh that runs the command here, and one for ray that sleeps."""
    (tmp_path / "bin").mkdir()
    ssh, ray = tmp_path / "bin" / "ssh", tmp_path / "bin" / "ray"
    ssh.write_text('#!/bin/sh\nshift\nexec sh -c "$1"\n')
    ray.write_text('#!/bin/sh\necho "$@"\necho "$RAY_AUTH_MODE $RAY_AUTH_TOKEN_PATH"\nexec sleep 600\n')
    ssh.chmod(0o755)
    ray.chmod(0o755)
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "VENV": str(tmp_path), "SHARED": f"{tmp_path}/shared"}

    def call(action):
        script = ["sh", CLUSTER / "bare-metal.sh", action, "one", "two"]
        return subprocess.run(script, env=environment, capture_output=True, text=True, check=True, timeout=20).stdout

    printed = call("up")
    pids = {host: int((tmp_path / "shared" / "pids" / host).read_text()) for host in ("one", "two")}
    try:
        token = tmp_path / "shared" / "ray-token"
        assert token.stat().st_mode & 0o077 == 0
        assert len(token.read_text()) == 64
        assert token.read_text() not in printed
        for host, words in (("one", "--head"), ("two", "--address=one:6379")):
            log = eventually(tmp_path / "shared" / "pids" / f"{host}.log", "token")
            assert words in log
            assert f"token {token}" in log
        private = [Path((tmp_path / "shared" / "pids" / f"{host}.temp").read_text().strip()) for host in pids]
        assert [folder.stat().st_mode & 0o777 for folder in private] == [0o700, 0o700]
        assert f"--temp-dir={private[0]}/ray" in (tmp_path / "shared" / "pids" / "one.log").read_text()
    finally:
        call("down")
    assert not any(folder.exists() for folder in private)
    for pid in pids.values():
        state = Path(f"/proc/{pid}/stat")
        for _ in range(50):
            if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"process {pid} is still there")
