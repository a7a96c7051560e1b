"""Options that several commands share, and the flags of training, which are the fields of Config."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_sbackprop.config import Config
from napari_sbackprop.errors import InputError

Star = Annotated[
    Path,
    typer.Argument(help="particles: RELION STAR file, cryoSPARC .cs file, or a stack with --poses and --ctf"),
]
Passthrough = Annotated[
    list[Path] | None,
    typer.Option(
        help=".cs file with further fields; by default found beside the .cs file", show_default=False
    ),
]
Run = Annotated[Path, typer.Argument(help="run directory that train made")]
Poses = Annotated[
    Path | None, typer.Option(help="cryoDRGN's pickle of the poses of a stack", show_default=False)
]
Ctf = Annotated[
    Path | None, typer.Option(help="cryoDRGN's pickle of the CTF parameters of a stack", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object on stdout")]
Moved = Annotated[
    list[str] | None,
    typer.Option("--path-map", metavar="OLD=NEW", help="folder of images that moved; repeat for more"),
]
Epoch = Annotated[int | None, typer.Option(help="epoch to use; by default the newest", show_default=False)]

METHODS = ("umap", "pca")
Method = Annotated[str, typer.Option(help="umap or pca")]


def checked_method(method: str) -> str:
    """The method of an embedding, refused where there is none of that name."""
    if method not in METHODS:
        raise InputError(f"--method is {method}, but must be one of {', '.join(METHODS)}.")
    return method


def with_config_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one flag per field of Config; it receives their values as its `**options`."""
    signature = inspect.signature(command)
    own = [item for item in signature.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
    flags = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[field.type, typer.Option(help=field.metadata["help"])],
        )
        for field in fields(Config)
    ]
    vars(command)["__signature__"] = signature.replace(parameters=own + flags)
    return command


def chosen(context: typer.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that stand on the command line, rather than being defaults."""
    sources = {name: context.get_parameter_source(name) for name in options}
    return {
        name: value for name, value in options.items() if getattr(sources[name], "name", "") == "COMMANDLINE"
    }
