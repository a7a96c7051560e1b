"""The application: every command in the order of a project, and what holds for all of them."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_sbackprop import __version__
from napari_sbackprop.cli import (
    analysis,
    demo,
    installation,
    particles,
    reconstruction,
    relion_job,
    selection,
    training,
    volumes,
)
from napari_sbackprop.cli.console import examples, log_to
from napari_sbackprop.errors import NO_SPACE, InputError
from napari_sbackprop.training.progress import TrainingError

_BROKEN_PIPE = 141  # the exit code of a program that SIGPIPE ends, as shells count


class SentenceGroup(TyperGroup):
    """Turns what the user can mend into one sentence and exit code 1; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (InputError, TrainingError) as error:
            print(f"Error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except BrokenPipeError:  # whoever reads the output has read enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(_BROKEN_PIPE) from None
        except OSError as error:
            name = error.filename2 or error.filename or "A file"  # the second is what was written
            remedy = (
                "free some space, or write elsewhere"
                if error.errno in NO_SPACE
                else "check its name and permissions"
            )
            print(f"Error: {name} cannot be used ({error.strerror or error}): {remedy}.", file=sys.stderr)
            raise typer.Exit(1) from None


application = typer.Typer(
    cls=SentenceGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for part in (
    *(demo, particles, training, volumes, analysis, selection, reconstruction),
    *(relion_job, installation),
):
    application.add_typer(part.commands)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@application.callback(
    epilog=examples(
        "napari-sbackprop simulate toy",
        "napari-sbackprop check toy/particles.star",
        "napari-sbackprop train toy/particles.star run",
        "napari-sbackprop explore run",
    )
)
def overview(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Find the conformations in cryo-EM particles whose poses are known.

    Train on particles of RELION, cryoSPARC or cryoDRGN, look at their latent space, decode any point of it to a map, and
    write the particles of a state for the next program. "COMMAND --help" explains a command, with examples.
    """
    log_to("stderr")


def main() -> None:
    """Entry point of `napari-sbackprop`."""
    application(prog_name="napari-sbackprop")
