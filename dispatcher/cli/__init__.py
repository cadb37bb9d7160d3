"""The command line: verbs, exit codes.

A verb's module is imported when the verb is used, and what is heavy only inside its body, so that `--help` stays
light.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module

import click

from dispatcher.errors import DispatcherError, FlagServerUnavailable, LogUnavailable, SourceUnreachable

EXIT_USAGE = 2
EXIT_UNREACHABLE = 5
EXIT_CRASH = 70
EXIT_INTERRUPT = 130
EXIT_BROKEN_PIPE = 141
"""As a shell reports a program that SIGPIPE ended; 1 would say ROLLBACK."""

_VERBS = {
    "adr": "List decision records and start their clock.",
    "demo": "Run the whole loop on simulated answers: dispatch, log, verdict.",
    "doctor": "Say what is enforced, what is missing, and what to do about it.",
    "explain": "Say where an action would go, and why, without a call.",
    "flags": "Show the flag, flip tenants or all, read its history.",
    "logs": "Import rows into the log and summarise it.",
    "migrate": "Bring the database to the newest schema.",
    "prices": "Add up the money of the log, price it again.",
    "research": "Carry out one research action.",
    "simulator": "Serve a loopback Anthropic API.",
    "spike": "Hold published single runs against a record's criteria.",
    "telemetry": "Standing reports over the log.",
    "verdict": "Judge decision records from the log.",
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _VERBS:
            return None
        command = getattr(import_module(f"dispatcher.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        # The help of all verbs, without importing any.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, text in sorted(_VERBS.items())])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dispatcher", prog_name="dispatcher")
def dispatcher() -> None:
    """Route AI research, log every attempt, judge decision records from the log.

    Exit codes: 0 done, 1 done and not all is well (the research didn't succeed, a check failed, figures don't add up,
    rows still wait), 2 bad usage, input or configuration, 5 database or flag server unreachable, 70 crash, 130
    interrupted; `verdict --gate` has its own, see its help.
    """


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code. Every expected error is one message without a traceback."""
    try:
        # Not click's own main, which answers a closed pipe with exit code 1: under --gate that would say ROLLBACK.
        with dispatcher.make_context("dispatcher", list(arguments)) as context:
            code = dispatcher.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except (BrokenPipeError, SystemExit):
        # A closed pipe, which rich turns into an exit with code 1. What is still buffered has no reader; flushed at the
        # end of the process it would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except BaseException as error:  # noqa: BLE001 - the last line of defence, with its own exit code
        return _complain(error)
    return code if isinstance(code, int) else 0


def _complain(error: BaseException) -> int:
    """Say what went wrong on standard error; returns the exit code."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPT
    if isinstance(error, DispatcherError):
        click.echo(f"error: {error}", err=True)
        return exit_code_of(error)
    traceback.print_exception(error)
    return EXIT_CRASH


def exit_code_of(error: DispatcherError) -> int:
    """The exit code of an expected error: a database or server can't be used, or what was asked for can't be done."""
    unreachable = isinstance(error, (SourceUnreachable, LogUnavailable, FlagServerUnavailable))
    return EXIT_UNREACHABLE if unreachable else EXIT_USAGE
