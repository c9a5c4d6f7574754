"""``python -m tests.processors`` ends with 0 only where something passed and nothing failed."""

from __future__ import annotations

import sys

import pytest

from tests import processors
from tests.processors import Row


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [(["passed"], 0), (["passed", "left out"], 0), (["left out", "left out"], 1), (["passed", "FAILED"], 1)],
)
def test_the_exit_code(
    verdicts: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["processors", "--short"])
    monkeypatch.setattr(processors, "rows", lambda *_: [Row("kernels", verdict) for verdict in verdicts])
    assert processors.main() == code
    assert ("nothing passed" in capsys.readouterr().out) == ("passed" not in verdicts)


def test_a_text_that_no_setting_holds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["processors", "--only", "nonsense"])
    monkeypatch.setattr(processors, "rows", lambda *_: pytest.fail("there is nothing to run"))
    assert processors.main() == 1
    assert "--only nonsense: no setting holds this text; there are: as it is, MKL_CBWR=" in capsys.readouterr().out
