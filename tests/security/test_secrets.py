"""No secret of an address reaches a file of a run, its page, MLflow, or a terminal, in whatever form it is written."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from distlandscape import redaction
from distlandscape.cli.main import main
from distlandscape.output import line, sentence
from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.mlflow_values import collect
from distlandscape.record.run import Run
from distlandscape.redaction import has_secret, redact, redact_address, redacted
from distlandscape.report import make_report
from distlandscape.studies import spectrum
from tests.record.fabricated import start_run

MARK = "s3cret"  # in each part of a password that a parser could cut off
FORMS = [
    "http://user:s3cretA@127.0.0.1:9",
    "https://user:s3cretA@127.0.0.1:9/path",
    "http://s3cretTokenA@127.0.0.1:9",
    "http://:s3cretA@127.0.0.1:9",
    "http://user:s3cretA/s3cretB@127.0.0.1:9",
    "http://user:s3cretA@s3cretB@127.0.0.1:9",
    "http://user:s3cretA s3cretB@127.0.0.1:9",
    "http://user:s3cretA#s3cretB@127.0.0.1:9",
    "http://user:s3cretA?s3cretB@127.0.0.1:9",
    "http://user:s3cretA:s3cretB@127.0.0.1:9",
    "http://user:s3cretA;s3cretB@127.0.0.1:9",
    "http://user:s3cretA&s3cretB=s3cretC@127.0.0.1:9",
    "http://user:s3cretA%2Fs3cretB%40@127.0.0.1:9",
    "http://user:s3cretA's3cretB@127.0.0.1:9",
    'http://user:s3cretA"s3cretB@127.0.0.1:9',
    "http://user:[s3cretA]@127.0.0.1:9",
    "http://user:s3cretA\\s3cretB@127.0.0.1:9",
    "http://user:s3cretA<s3cretB>@127.0.0.1:9",
    "http://user:s3crétÄ-s3cretB@127.0.0.1:9",
    "http://user:1234/s3cretB@127.0.0.1:9",
    "http://user:s3cretA",
    "http://127.0.0.1:9/?token=s3cretA",
    "http://127.0.0.1:9/?access_token=s3cretA#s3cretB",
    "http://127.0.0.1:9/?sig=s3cretA&se=2030",
    "http://127.0.0.1:9/x;password=s3cretA",
    "postgresql://user:s3cretA@127.0.0.1:9/db",
    "postgresql://user:s3cretA/s3cret B@127.0.0.1:9/db",
    "postgresql://127.0.0.1:9/db?user=me&password=s3cretA&sslmode=require",
    "postgresql://127.0.0.1:9/db?sslpassword=s3cretA%20s3cretB",
    "postgresql+psycopg2://user:s3cretA@127.0.0.1:9/db?options=a@b&password=s3cretB",
    "mysql+pymysql://user:s3cretA%40s3cretB@127.0.0.1:9/db?charset=utf8mb4",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BX%7D%3BUID%3Dme%3BPWD%3Ds3cretA%3BSERVER%3D127.0.0.1",
    "mssql+pyodbc://?odbc_connect=DRIVER={X};SERVER=127.0.0.1;UID=me;PWD={s3cretA;s3cretB}",
    "jdbc:postgresql://user:s3cretA@127.0.0.1:9/db",
    "jdbc:sqlserver://127.0.0.1:9;user=sa;password=s3cretA;encrypt=true",
    "host=127.0.0.1 user=me password=s3cretA dbname=db",
    "host=127.0.0.1 user=me password='s3cretA s3cretB'",
    "Driver={X};Server=127.0.0.1;UID=me;PWD={s3cretA;s3cretB};",
    "user:s3cretA@127.0.0.1/db",
    "redis://:s3cretA@127.0.0.1:9/0",
    "s3://AKIAABCDEFGHIJKLMNOP:s3cretA/s3cretB@bucket/path",
    "s3://bucket/path?aws_secret_access_key=s3cretA",
]
AS_WRITTEN = [form for form in FORMS if "://" in form]
PLAIN = [
    "sqlite:////a/b.db",
    "sqlite:////home/me@corp/lr=0.1/mlflow.db?mode=ro",
    "http://127.0.0.1:5000",
    "http://[::1]:5000/x",
    "postgresql://a,b:5432/db?sslmode=require",
    "/home/me@corp/mlruns",
    "./mlruns",
    "s3://bucket/path",
    "mail a@b about http://host:5000 and http://other",
    "`distlandscape mlflow-sync /home/a@b/run` and http://127.0.0.1:9, or 12:30 h",
    "passes=12, sigma=3, tokens=4, objective.denominator=tokens",
    "the token in the address is its password; end with Ctrl-C",
]


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an earlier form taught would hide a leak of this one."""
    monkeypatch.setattr(redaction, "_addresses", set())
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return


@pytest.fixture
def out(tmp_path: Path, empty_database: Path) -> Path:
    """An output folder that has its database."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


def leaks(folder: Path) -> list[str]:
    """Names of the files below a folder that hold the mark, in their names or in what is in them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if MARK in str(path) or MARK.encode() in path.read_bytes()]


@pytest.mark.parametrize("form", FORMS)
def test_an_address_and_the_texts_it_stands_in_hide_it(form: str) -> None:
    assert MARK not in redact_address(form)
    assert has_secret(form)
    assert redact_address(redact_address(form)) == redact_address(form)
    written = json.dumps({"uri": form})
    texts = [
        form,
        f"cannot open {form}: refused",
        f"({form})",
        repr(form),
        written,
        f"--uri {form} --json",
        f"`{form}`",
    ]
    for text in texts:
        assert MARK not in redact(text), text
        assert MARK not in sentence(text), text
        assert redact(redact(text)) == redact(text)
    assert json.loads(redact(written)) is not None
    assert MARK not in json.dumps(redacted({"a": {"uri": form}, "b": [f"see {form}"]}))


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text
    assert " " in text or redact_address(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "{'password': 's3cretA', 'user': 'me'}",
        '{"api_key": "s3cretA\\" s3cretB", "x": 1}',
        "Authorization: Bearer s3cretA.s3cretB",
        "AWS_SECRET_ACCESS_KEY=s3cretA/s3cretB",
        "?x=1&PWD%3Ds3cretA%3B",
        "password = s3cretA s3cretB",
    ],
)
def test_pairs_and_headers_hide_it(text: str) -> None:
    assert MARK not in redact(text)


@pytest.mark.parametrize(
    "part", ["s3cretA b'\"/#", "s3cretA%20b%27%22%2F%23", "s3cretA+b%27%22%2F%23", "s3cretA b&#x27;"]
)
def test_what_a_library_makes_of_a_remembered_password_is_hidden(part: str) -> None:
    """Parsers cut, decode and quote: the port of ``user:pass/word@host`` is "pass" to one of them."""
    redaction.remember("postgresql://user:s3cretA b'\"/#@127.0.0.1/db")
    for text in (part, f"Port could not be cast to integer value as {part!r}", f"no host {part.split()[0]}"):
        assert MARK not in redact(text)


def test_values_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cretA-long")
    here = Path.cwd()  # which is the value of PWD
    assert redact(f"login failed with s3cretA-long in {here}") == f"login failed with *** in {here}"


def test_long_texts_take_no_more_than_linear_time() -> None:
    for text in ("a:" * 50_000, "<a://" * 20_000, "password" * 12_000, "password=" + " " * 90_000, "a:b," * 25_000):
        redact(text)  # quadratic time would take minutes


@pytest.mark.parametrize("form", FORMS)
def test_a_run_its_mirror_and_its_commands_hide_it(
    form: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = start_run(tmp_path, uri=form)
    MlflowMirror(run, form).push()
    mirrored = collect(run)
    codes = [
        main(["mlflow-sync", str(run.path)]),
        main(["mlflow-sync", str(run.path), "--uri", form, "--json"]),
        main(["runs", "--uri", form]),
        main(["spectrum", f"--set=tracking={form}"]),
        main(["report", form]),
    ]
    said = capfd.readouterr()
    assert codes == [1, 1, 2, 2, 2]
    assert MARK not in said.out + said.err
    assert not leaks(tmp_path)
    assert MARK not in json.dumps([mirrored.params, mirrored.tags])
    assert mirrored.params["tracking.uri"] == redact_address(form)


SMALL = [
    *("spectrum", "--workers=0", "--json", "--set=data.samples=40", "--set=model.options={hidden: [2]}"),
    *("--set=train.steps=2", "--set=spectrum.k=1", "--set=spectrum.lowest=0", "--set=spectrum.density_draws=1"),
    *("--set=spectrum.density_steps=4", "--set=spectrum.trace_probes=2", "--set=runtime.threads=1"),
]


def whole_run(out: Path, form: str) -> int:
    return main([*SMALL, f"--set=tracking.uri={json.dumps(form)}", f"--out={out}"])


def fails_with(form: str) -> Any:
    def measure(*_arguments: object) -> None:
        raise RuntimeError(f"no connection to {form}, as a library says it")

    return measure


FEW = [FORMS[0], FORMS[6], FORMS[26], FORMS[32]]


@pytest.mark.parametrize("form", [*FEW, *(pytest.param(f, marks=pytest.mark.attack) for f in FORMS if f not in FEW)])
def test_a_run_that_fails_with_it_hides_it(
    form: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrum, "measure", fails_with(form))
    monkeypatch.setenv("DISTLANDSCAPE_DEBUG", "1")  # the traceback goes to the terminal too
    assert whole_run(tmp_path, form) == 1
    said = capfd.readouterr()
    assert "as a library says it" in said.err or "no connection to" in said.err
    assert MARK not in said.out + said.err
    (path,) = tmp_path.glob("spectrum-*")
    assert (path / "error.txt").exists()
    assert (path / "report.html").exists()
    assert not leaks(tmp_path)


@pytest.mark.attack
@pytest.mark.parametrize("form", FORMS)
def test_a_whole_run_hides_it(form: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert whole_run(tmp_path, form) == 0
    said = capfd.readouterr()
    assert MARK not in said.out + said.err
    assert json.loads(said.out)["status"]
    assert not leaks(tmp_path)


def test_files_of_a_run_are_its_owners_alone(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = os.umask(0)
    try:
        assert main([*SMALL, f"--out={out}"]) == 0
    finally:
        os.umask(before)
    (path,) = out.glob("spectrum-*")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    files = [file for file in path.rglob("*") if file.is_file()]
    assert {"log.jsonl", "config.yaml", "run.json", "result.json", "report.html", "mlflow.json"} <= {
        f.name for f in files
    }
    assert {file.suffix for file in files} >= {".png", ".parquet", ".safetensors"}
    assert [f.name for f in files if stat.S_IMODE(f.stat().st_mode) != 0o600] == []
    assert stat.S_IMODE((out / "mlartifacts").stat().st_mode) == 0o700


def test_who_opens_a_run_to_a_group_is_not_overruled(tmp_path: Path) -> None:
    run = start_run(tmp_path)
    run.write_result({})
    (run.path / "result.json").chmod(0o640)
    run.write_result({"a": 1})
    assert stat.S_IMODE((run.path / "result.json").stat().st_mode) == 0o640


def test_the_environment_gives_the_password_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a resume and mlflow-sync do: the record has no password, so they say what they need, and then take it."""
    whole = "http://user:s3cretA@127.0.0.1:9"
    run = start_run(tmp_path, uri=whole)
    kept = run.config["tracking"]["uri"]
    assert kept == "http://***@127.0.0.1:9"
    assert main(["mlflow-sync", str(run.path)]) == 1
    assert "set MLFLOW_TRACKING_URI to the whole address" in capfd.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", whole)
    assert MlflowMirror(run, kept).uri == whole
    assert main(["mlflow-sync", str(run.path)]) == 1
    assert "is away" in capfd.readouterr().err  # it was asked
    monkeypatch.setenv("MLFLOW_TRACKING_URI", whole.replace("127.0.0.1", "127.0.0.2"))
    assert MlflowMirror(run, kept).uri == kept  # the password of one server is not sent to another


def test_a_secret_argument_of_a_factory_stays_in_the_configuration_alone(tmp_path: Path, empty_database: Path) -> None:
    """The factory needs it at a resume; pages and MLflow do not."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    run = start_run(tmp_path)
    config = run.config
    config["data"]["options"] = {"dsn": FORMS[0], "password": "s3cretA", "note": f"from {FORMS[1]}"}
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    assert MlflowMirror(run).push()
    make_report(Run.open(run.path).path)
    assert leaks(tmp_path) == [str(run.path / "config.yaml")]


def test_a_line_of_progress_hides_it() -> None:
    assert MARK not in line(f"run directory: x, {FORMS[0]}")
