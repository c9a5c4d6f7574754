"""A tracking server that is away costs one warning and a few seconds, never a run."""

from __future__ import annotations

import argparse
import http.server
import json
import re
import shlex
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from distlandscape.cli import mlflow_sync
from distlandscape.errors import InputError
from distlandscape.record.mlflow_client import connect
from distlandscape.record.mlflow_mirror import MlflowMirror
from tests.record.fabricated import NOWHERE, add_checkpoints, content, finish, start_run


@pytest.mark.parametrize(
    "uri",
    [
        NOWHERE,
        "foo://x",
        "file:///tmp/never",
        "./mlruns",
        "sqlite:////proc/none/mlflow.db",
        "sqlite:////proc/version",
        "postgresql://user:hunter2@127.0.0.1:9/db",
        "http://user:hunter2@127.0.0.1:9",
    ],
)
def test_a_server_that_is_away_costs_one_warning(uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = start_run(tmp_path / "out", uri=uri)
    mirror = MlflowMirror(run, uri)
    start = time.monotonic()
    assert [mirror.push(), mirror.push(), mirror.push(final=True), mirror.push(final=True)] == [False] * 4
    assert time.monotonic() - start < 15
    assert mirror.run_id is None
    output = capfd.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert output.err.startswith("warning: the tracking server ")
    assert f"`distlandscape mlflow-sync {run.path}`" in output.err
    assert "hunter2" not in output.err + mirror.url_hint


def test_an_experiment_deleted_in_mid_run_costs_one_warning_whose_remedies_work(
    out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = start_run(out)
    mirror = MlflowMirror(run, experiment="gone")
    assert mirror.push()
    client = connect(mirror.uri)
    client.delete_experiment(client.get_experiment_by_name("gone").experiment_id)
    add_checkpoints(run, 1)
    assert [mirror.push(), mirror.push_images({"ritz": b"x"}), mirror.push(final=True)] == [False] * 3
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1
    assert "the experiment 'gone' of the tracking server" in said

    found = re.search(r"`distlandscape (mlflow-sync .* --experiment) NAME`", said)
    assert found
    assert sync(*shlex.split(found[1])[1:], "another") == 0
    assert "step-000000" in content(MlflowMirror(run, experiment="another"))

    found = re.search(r"`MLFLOW_TRACKING_URI=(.*) mlflow (experiments restore -x \d+)`", said)
    assert found
    assert shlex.split(found[1]) == [mirror.uri]
    client.restore_experiment(found[2].split()[-1])  # what the command does, without another interpreter
    assert sync(str(run.path), "--experiment", "gone") == 0
    assert "step-000000" in content(mirror)


class Babble(http.server.BaseHTTPRequestHandler):
    """Answers everything with the same nonsense."""

    status, body = 200, b"<html>welcome</html>"

    def _answer(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815

    def log_message(self, *_args: object) -> None:
        """Keep the terminal quiet."""


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>welcome</html>"), (200, b"{}"), (401, b"no"), (500, b"oh"), (429, b"slow down")]
)
def test_a_bad_answer_costs_one_warning(
    status: int, body: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handler = type("Answer", (Babble,), {"status": status, "body": body})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            run = start_run(tmp_path / "out")
            mirror = MlflowMirror(run, f"http://127.0.0.1:{server.server_address[1]}")
            start = time.monotonic()
            assert not mirror.push()
            assert not mirror.push(final=True)
            assert time.monotonic() - start < 15
        finally:
            server.shutdown()
            thread.join()
    output = capfd.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert f"`distlandscape mlflow-sync {run.path} --uri {mirror.uri}`" in output.err


def test_a_server_that_never_answers_costs_seconds(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = start_run(tmp_path / "out")
        mirror = MlflowMirror(run, f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        assert not mirror.push()
        assert not mirror.push(final=True)
        assert time.monotonic() - start < 15
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_an_outage_in_the_middle_is_made_up_for_at_the_end(
    out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = start_run(out)
    mirror = MlflowMirror(run)
    assert mirror.push()
    add_checkpoints(run, 2)

    def refuse(*_args: object, **_options: object) -> None:
        raise ConnectionError("gone")

    with monkeypatch.context() as outage:
        outage.setattr(type(mirror._client), "set_terminated", refuse)
        assert not mirror.push()
    assert not mirror.push()
    finish(run)
    assert mirror.push(final=True)
    held = content(mirror)
    assert sorted(held) == sorted([run.path.name, "step-000000", "step-000010"])
    assert {entry["status"] for entry in held.values()} == {"FINISHED"}
    assert held["step-000010"]["metrics"]["loss"] == [(10, 0.5)]
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_broken_database_costs_one_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = start_run(tmp_path / "out")
    (tmp_path / "out" / "mlflow.db").write_text("not a database, " * 1000)
    mirror = MlflowMirror(run)
    start = time.monotonic()
    assert not mirror.push()
    assert not mirror.push(final=True)
    assert time.monotonic() - start < 15
    assert len(capfd.readouterr().err.splitlines()) == 1


def sync(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    mlflow_sync.add_parser(parser.add_subparsers())
    return mlflow_sync.run(parser.parse_args(["mlflow-sync", *arguments]))


def test_sync_catches_up_with_everything(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = start_run(out, uri=NOWHERE)
    add_checkpoints(run, 3)
    finish(run)
    assert not MlflowMirror(run, NOWHERE).push(final=True)
    assert sync(str(run.path)) == 1
    capfd.readouterr()

    uri = f"sqlite:///{out}/mlflow.db"
    assert sync(str(run.path), "--uri", uri, "--json") == 0
    output = capfd.readouterr()
    document = json.loads(output.out)
    assert document["in_sync"] is True
    assert document["run_id"] == run.run_id
    assert document["uri"] == uri
    assert output.err == ""

    assert sync(str(run.path), "--uri", uri) == 0
    assert f"as run {document['mlflow_run_id']}\n" in capfd.readouterr().out
    held = content(MlflowMirror(run, uri))
    assert len(held) == 4
    assert held[run.path.name]["metrics"]["trace"] == [(20, 3.5)]


def test_sync_wants_a_run_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory"):
        sync(str(tmp_path))


def test_images_that_cannot_be_sent_cost_the_same_one_warning(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = start_run(out)
    mirror = MlflowMirror(run)
    assert mirror.push()
    artifacts = out / "mlartifacts"
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.write_text("a file where the folder should be")
    assert [mirror.push_images({"ritz": b"x"}), mirror.push_images({"ritz": b"x"}), mirror.push()] == [False] * 3
    assert capfd.readouterr().err.count("warning: the tracking server") == 1
    artifacts.unlink()
    assert mirror.push(final=True)
