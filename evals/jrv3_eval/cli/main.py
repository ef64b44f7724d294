"""The command line: one file a command; every suite card is a command of its own."""

from __future__ import annotations

import copy
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import Jrv3EvalError, UsageError, unknown

SUITE_COMMAND = "SUITE"


class SuiteGroup(TyperGroup):
    """A name that is no other command is taken as a suite's name."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, else the suite command under that name."""
        own = super().get_command(ctx, cmd_name)
        if own is not None and cmd_name != SUITE_COMMAND:
            return own
        suites, commands = set(_shipped_suites()), set(self.commands) - {SUITE_COMMAND}
        may_be_ones_own = any(word.startswith(("--tasks-dir", "--help")) for word in sys.argv)
        if cmd_name not in suites | {SUITE_COMMAND} and not may_be_ones_own:
            raise unknown("command or suite", cmd_name, suites | commands)
        command = copy.copy(super().get_command(ctx, SUITE_COMMAND))
        if command is not None:
            command.name = cmd_name
            command.hidden = False
            command.short_help = _shipped_suites().get(cmd_name)
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run the command. A user's error is printed without a traceback and exits with 2."""
        try:
            return super().invoke(ctx)
        except Jrv3EvalError as error:
            sys.stderr.write(f"error: {error}\n")
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            sys.stderr.write(
                "\ninterrupted: finished batches are stored; run the same command to continue\n"
            )
            raise typer.Exit(130) from None

    def list_commands(self, ctx: Any) -> list[str]:
        """Shipped suites first, then the other commands."""
        others = [name for name in super().list_commands(ctx) if name != SUITE_COMMAND]
        return [*_shipped_suites(), *others]


def _drop_unwritten_output() -> None:
    """After a failed write: else Python fails at it again when it ends, and exits with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _shipped_suites() -> dict[str, str]:
    """Suite names and titles, read without validating the cards (--help must be quick)."""
    import re

    from ..paths import shipped

    titles = {}
    folder = shipped("tasks")
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # a folder, or not readable: an error only where the suite is asked for
            text = ""
        found = re.search(r"^title: *\"?(.*?)\"?$", text, re.M)
        titles[path.stem] = found[1] if found else "an evaluation suite"
    return titles


app = typer.Typer(
    cls=SuiteGroup,
    name="jrv3-eval",
    help="Judge a document reranker the way its paper was judged, and trust the number.",
    epilog="Start with: jrv3-eval demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"jrv3-eval {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it and end."),
    ] = False,
) -> None:
    """Options of the program itself."""


def _register() -> None:
    if app.registered_commands:  # by an earlier call in the same process
        return
    from . import candidates, compare, export, fetch, gate, models, published, report, suite, tasks

    app.command(SUITE_COMMAND, help=suite.HELP)(suite.run_suite)
    app.command("tasks")(tasks.list_tasks)
    app.command("fetch")(fetch.fetch)
    app.command("compare")(compare.compare)
    app.command("gate")(gate.gate)
    app.command("export")(export.export)
    app.command("published")(published.published)
    app.command("report")(report.report)
    app.add_typer(models.app, name="models")
    app.add_typer(candidates.app, name="candidates")


def _refuse_other_bytes(words: Sequence[str]) -> None:
    """Before any work: no record or table could be written that has such a word in it.

    Raises UsageError for a word with bytes that are no UTF-8; Python reads them as surrogates.
    """
    for place, word in enumerate(words):
        if any("\ud800" <= character <= "\udfff" for character in word):
            from ..rerankers.masking import masked_words

            [*_, shown] = masked_words(words[: place + 1])
            raise UsageError(
                "A word of the command line is not UTF-8.",
                where=shown.encode("utf-8", "backslashreplace").decode(),
                next_step="write it in UTF-8; a file of such a name must be renamed",
            )


def main() -> None:
    """Entry point of the console script."""
    try:
        _refuse_other_bytes(sys.argv[1:])
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    _register()
    try:
        app(prog_name="jrv3-eval")
    except OSError as error:  # a broken pipe (`| head`) has ended quietly in click before
        place = f": {error.filename}" if error.filename else ""
        sys.stderr.write(f"error: {error.strerror or error}{place}\n")
        _drop_unwritten_output()
        sys.exit(2)
    except Exception:  # noqa: BLE001 - 1 says that a gate failed; a fault of ours must not
        traceback.print_exc()
        sys.exit(2)
