"""What a terminal is sent: no control characters out of names, and no message too long to be read."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import unicodedata
from pathlib import Path

import pytest

from distlandscape import output
from distlandscape.cli import doctor
from distlandscape.cli.main import main
from distlandscape.output import LONGEST, CleanStream, line, sentence, visible
from distlandscape.studies.progress import Progress
from tests.record.fabricated import start_run

# Colors, a title, a cleared screen, the start of the line, 8-bit CSI, bidi, a line break, a lone surrogate.
HOSTILE = "\x1b[31m\x1b]0;title\x07\x1b[2J\rdone\x9b2K\u202etxt\u2066\x7f\x08\u2028\ufeff\udcff"


def raw(text: str) -> list[str]:
    """Characters of a text that steer a terminal."""
    return [c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_control_characters_are_written_out() -> None:
    assert visible("a\x1b[31mb\r\u202e") == r"a\x1b[31mb\r\u202e"
    assert visible("é, 漢字, α²\u00a0%, 🙂\n\tx") == "é, 漢字, α²\u00a0%, 🙂\n\tx"
    assert not raw(visible(f"{HOSTILE}\x00"))
    assert line("name\nfake line") == r"name\nfake line"
    assert visible(visible(HOSTILE)) == visible(HOSTILE)


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", HOSTILE],
        ["resume", f"{HOSTILE}/x"],
        ["mlflow-sync", HOSTILE],
        ["spectrum", f"--config={HOSTILE}"],
        ["spectrum", f"--set={HOSTILE}"],
        ["spectrum", f"--set=data.source={json.dumps(HOSTILE)}", "--workers=0"],
        ["spectrum", f"--set=model.name={json.dumps(HOSTILE)}", "--workers=0"],
        ["spectrum", f"--set={HOSTILE}.x=1"],
        ["runs", f"--out={HOSTILE}"],
        ["plan", HOSTILE],
        ["data", "show", HOSTILE],
        [HOSTILE],
        ["report", "x", f"--{HOSTILE}"],
        ["runs", f"--limit={HOSTILE}"],
    ],
    ids=lambda arguments: arguments[0] if arguments[0].isprintable() else "command",
)
def test_no_command_hands_them_on(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as ended:  # argparse's own way
        code = int(str(ended.code))
    said = capfd.readouterr()
    assert code == 2
    assert not raw(said.out + said.err)
    assert "\\x1b[31m" in said.err or "\\\\x1b[31m" in said.err


BOUNDED = [["report"], ["mlflow-sync"], ["spectrum", "--set"], ["spectrum", "--config"], ["plan"], ["runs", "--uri"]]


@pytest.mark.parametrize("arguments", BOUNDED, ids=" ".join)
@pytest.mark.parametrize("unit", ["x", "x/", "x ", "x\n"])
def test_messages_are_short(arguments: list[str], unit: str, capfd: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        main([*arguments, unit * (189_000 // len(unit))])
    said = capfd.readouterr()
    assert len(said.out + said.err) < 2 * LONGEST
    assert len([told for told in said.err.splitlines() if "distlandscape" in told]) <= 2


def test_a_short_message_keeps_its_beginning_and_its_remedy(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["mlflow-sync", "x" * 189_000]) == 2
    said = capfd.readouterr().err
    assert said.startswith("distlandscape: xxx")
    assert said.endswith("give the folder of a run\n")
    assert sentence("a  b\n c") == "a b c"
    path = "/".join(["folder"] * 30)
    assert line(f"resume {path}") == f"resume {path}"


def test_an_unexpected_error_is_clean_too(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def fails(args: object) -> int:
        print(f"a library prints {HOSTILE}")
        sys.stderr.write("10 %\r20 %\r")
        raise RuntimeError(HOSTILE * 10_000)

    monkeypatch.setenv("DISTLANDSCAPE_DEBUG", "1")
    monkeypatch.setattr(doctor, "run", fails)
    assert main(["doctor"]) == 1
    said = capfd.readouterr()
    assert not raw(said.out + said.err)
    assert "10 %\n20 %\n" in said.err
    assert len(said.err.splitlines()[-1]) < 2 * LONGEST


def test_names_of_a_run_reach_no_terminal_raw(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The whole way: a hostile name of a folder and of an experiment, in the warning of the mirror and in a table."""
    folder = tmp_path / "a\x1b[31m\u202eb"
    run = start_run(folder, uri="http://127.0.0.1:9", experiment="x\x1b[2J")
    assert main(["mlflow-sync", str(run.path)]) == 1
    assert main(["mlflow-sync", str(run.path), "--json"]) == 1
    assert main(["report", str(run.path), "--out", str(folder / "page")]) == 0
    said = capfd.readouterr()
    assert not raw(said.out + said.err)
    assert "\\x1b[31m\\u202eb" in said.err


def test_progress_hands_nothing_on_and_takes_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.say(f"run directory: {HOSTILE}\nfake")
        progress.say("x" * 189_000)
        progress.say("[red]no markup[/red] [/blue]")
    said = capsys.readouterr().err
    assert not raw(said)
    assert len(said.splitlines()) == 3
    assert "[red]no markup[/red] [/blue]" in said
    assert len(said) < 3 * LONGEST


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_live_line_of_a_terminal_shows_names_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", CleanStream(terminal))
    monkeypatch.setenv("TERM", "xterm")
    with Progress() as progress:
        progress.update("measures [/blue] \x1b]0;title\x07 of \u202e")
        assert progress._status is not None
        progress._status._live.refresh()
    shown = terminal.getvalue()
    assert "[/blue] \\x1b]0;title\\x07 of \\u202e" in shown
    assert "\x1b]0;" not in shown
    assert "\x1b[" in shown  # the line itself is drawn, below what cleans


def test_a_clean_stream_is_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "said"
    with file.open("w", encoding="utf-8") as whole:
        stream = CleanStream(whole)
        print("a", HOSTILE, file=stream)
        stream.writelines(["b\x1b", "c"])
        assert (stream.fileno(), stream.encoding, stream.isatty()) == (whole.fileno(), "utf-8", False)
        assert output.below(stream) is whole
        assert output.below(whole) is whole
    assert not raw(file.read_text(encoding="utf-8"))
