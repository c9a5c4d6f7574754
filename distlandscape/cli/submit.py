"""``distlandscape submit``."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from distlandscape.cli.service import add_address_option, add_state_option, jobs_of, state_of
from distlandscape.cli.study import add_study_argument, add_study_options, all_assignments, check_study, print_json
from distlandscape.config import load_config
from distlandscape.errors import InputError
from distlandscape.output import say

if TYPE_CHECKING:
    from distlandscape.service.jobs import Jobs
    from distlandscape.service.state import Services, State

CONFIG = "config.yaml"
# Keys that name a file or folder.
PATHS = (("data", "path"), ("model", "weights"), ("emergence", "checkpoints"), ("goldilocks", "point"))


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "submit",
        help="run a study as a job of the service or of a Ray cluster",
        description="Check the configuration and hand the study to Ray as a job; follow it with logs -f ID.",
    )
    add_study_argument(parser)
    add_study_options(parser, "in the job's process")
    parser.add_argument("--id", metavar="ID", dest="job_id", help="id of the job (default: study, time, four digits)")
    add_address_option(parser)
    add_state_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, submit, print the id.

    Raises:
        InputError: unknown study, wrong configuration, an id that is taken, or no server answers.
    """
    tree = job_config(args)
    jobs = jobs_of(args)
    state = state_of(args)
    document = submit_study(args, tree, jobs, state)
    if args.json:
        print_json(document, args)
    else:
        print(document["job_id"], file=args.stdout)
        print(f"follow it with: distlandscape logs -f {document['job_id']}", file=args.stdout)
    return 0


def submit_study(args: argparse.Namespace, tree: dict[str, Any], jobs: Jobs, state: State) -> dict[str, Any]:
    """Hand the study over with its configuration in a file; returns what ``--json`` prints."""
    from distlandscape.service.connect import is_local
    from distlandscape.service.entry import entrypoint, new_id
    from distlandscape.service.jobs import Job

    local, out = is_local(state, jobs.address), Path(args.out).absolute()
    services = state.read()
    _check_imports(tree, services if local else None)
    if local and services is not None and tree["tracking"]["uri"] is None:
        tree["tracking"]["uri"] = services.mlflow
    command = entrypoint([args.study, "--config", CONFIG, "--out", str(out)], local)
    metadata = {"study": args.study, "out": str(out), "config": Path(args.config).name if args.config else ""}
    with tempfile.TemporaryDirectory(prefix="dl-job-") as folder:
        (Path(folder) / CONFIG).write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        job_id = jobs.submit(Job(args.job_id or new_id(args.study), command, metadata, Path(folder)))
    return {"job_id": job_id, "address": jobs.address, "out": str(out), "entrypoint": command}


def job_config(args: argparse.Namespace) -> dict[str, Any]:
    """The whole configuration of a job, checked, its paths absolute: a job has another working directory.

    Raises:
        InputError: it is wrong, is another study's, or holds a password.
    """
    check_study(args.study, args.config)
    tree = load_config(args.config, all_assignments(args)).model_dump(mode="json")
    for section, key in PATHS:
        if tree[section][key] is not None and (section, key) not in _imports(tree):
            tree[section][key] = str(Path(tree[section][key]).expanduser().absolute())
    _check_tracking(tree)
    return tree


def _imports(tree: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Keys that name something to be imported, and what they name."""
    found = {("model", "name"): tree["model"]["name"]}
    if tree["data"]["source"] == "torch":
        found["data", "path"] = tree["data"]["path"] or ""
    return {key: value for key, value in found.items() if ":" in value}


def _check_imports(tree: dict[str, Any], services: Services | None) -> None:
    """Refuse a module that a job of the local head does not find; another cluster may have it, so warn of a file."""
    from distlandscape.service.entry import is_importable
    from distlandscape.service.processes import environment_of

    for (section, key), path in _imports(tree).items():
        module = path.partition(":")[0]
        name = module.partition(".")[0]
        beside = next((file for file in (Path(f"{name}.py"), Path(name)) if file.exists()), None)
        where = f"lies in {beside} beside you" if beside is not None else "is not installed in this environment"
        if services is None:
            if beside is not None:
                say(f"warning: {section}.{key}={path} {where}; the cluster needs it installed")
        elif not is_importable(module, environment_of(services.processes["ray"])):
            folder = shlex.quote(str(Path.cwd())) if beside is not None else "/ITS/FOLDER"
            raise InputError(
                f"{section}.{key}={path} {where}, where a job does not look; install it as a package, or give its"
                f" folder to the service: distlandscape down, then PYTHONPATH={folder} distlandscape up"
            )


def _check_tracking(tree: dict[str, Any]) -> None:
    from distlandscape.record.mlflow_client import resolve
    from distlandscape.redaction import has_secret

    uri = tree["tracking"]["uri"]
    if uri is None:
        return
    if has_secret(uri):
        raise InputError(
            "tracking.uri holds a name or password, and a job's configuration is kept by the cluster; put"
            " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD into the cluster's environment instead"
        )
    tree["tracking"]["uri"] = resolve(uri)
