"""Entry point: parse, run one command, turn errors into a sentence and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import select
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import NoReturn

from distlandscape.cli.key_help import HelpWithKeys
from distlandscape.errors import InputError, Interrupted, WriteFailed
from distlandscape.output import CleanStream, sentence
from distlandscape.redaction import remember_all

COMMANDS = (
    "quickstart",
    "train",
    "spectrum",
    "clustering",
    "hierarchy",
    "emergence",
    "hyperplane",
    "goldilocks",
    "theory",
    "data",
    "plan",
    "runs",
    "report",
    "resume",
    "mlflow_sync",
    "up",
    "down",
    "submit",
    "status",
    "logs",
    "stop",
    "doctor",
)
DONE, FAILED, BAD_INPUT, UNCONVERGED, INTERRUPTED = 0, 1, 2, 3, 130
CLOSED_PIPE = 128 + signal.SIGPIPE  # what a shell reports of a program that writes to ``head`` after it has ended


class _Parser(argparse.ArgumentParser):
    """Says mistakes in a bounded line without control characters, whatever the arguments hold."""

    def error(self, message: str) -> NoReturn:
        super().error(sentence(message))


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="distlandscape",
        description="Measure the local geometry of a neural network's loss surface.",
        formatter_class=HelpWithKeys,
        epilog="RUN is a run directory, as studies name it at their end; ID is the id of a job, as submit prints it.\n"
        "Exit codes: 0 done, 1 failed, 2 bad input, 3 a requested tolerance was not reached, 130 interrupted.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"distlandscape.cli.{name}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Whatever a command and its libraries print passes through one place that hides secrets and control characters.
    """
    remember_all(sys.argv[1:] if arguments is None else arguments)
    with redirect_stdout(CleanStream(sys.stdout)), redirect_stderr(CleanStream(sys.stderr)):
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    """One command, its errors turned into a sentence and a code."""
    try:
        try:
            args = build_parser().parse_args(arguments)
        finally:
            sys.stdout.flush()  # --help ends with SystemExit, and what is not written by then fails at the very end
        with _clean_stdout() as stdout:
            args.stdout = stdout
            code: int = args.run(args)
            return code
    except BrokenPipeError as error:
        if not _reader_has_ended():
            return _unexpected(error)
        _write_nowhere(1)
        return CLOSED_PIPE
    except InputError as error:
        return _fail(str(error), BAD_INPUT)
    except WriteFailed as error:
        return _fail(str(error), FAILED)
    except (KeyboardInterrupt, Interrupted):
        return _fail("interrupted; a run that had begun can be resumed, see above", INTERRUPTED)
    except Exception as error:
        return _unexpected(error)


@contextlib.contextmanager
def _clean_stdout() -> Iterator[CleanStream]:
    """Give the command the real standard output and send everything else that is printed to standard error.

    Libraries and their child processes print to file descriptor 1; a reader of --json must see one document only.
    """
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(real), "w", encoding="utf-8") as stdout:
            yield CleanStream(stdout)
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


def _reader_has_ended() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _unexpected(error: Exception) -> int:
    if os.environ.get("DISTLANDSCAPE_DEBUG"):
        traceback.print_exc()
    return _fail(f"{type(error).__name__}: {error}", FAILED)


def _fail(text: str, code: int) -> int:
    try:
        print(f"distlandscape: {sentence(text)}", file=sys.stderr, flush=True)
    except BrokenPipeError:  # then nobody reads it, and the code has to do
        _write_nowhere(2)
    return code


def _write_nowhere(descriptor: int) -> None:
    """What Python still wants to flush there when it ends is dropped, instead of a traceback at the very end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
