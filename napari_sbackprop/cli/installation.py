"""Commands about the installation: info, compile."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer

from napari_sbackprop import __version__
from napari_sbackprop.cli.console import examples, show
from napari_sbackprop.cli.options import Json
from napari_sbackprop.errors import InputError

commands = typer.Typer()

PACKAGES = ("torch", "numpy", "napari", "PyQt5", "PyQt6", "umap-learn", "gemmi", "imageio-ffmpeg")
"""Those whose versions matter, in reports of a fault; the last six may be absent."""


@commands.command(epilog=examples("napari-sbackprop info", "napari-sbackprop info --json"))
def info(as_json: Json = False) -> None:
    """Show versions, devices and back ends.

    A back end does the arithmetic of a device: native code, or plain PyTorch with the reason why.
    """
    import torch

    from napari_sbackprop.ops import backend

    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    backends = {device: backend(torch.device(device)) for device in devices}
    values: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _installed(name) for name in PACKAGES},
        "devices": {device: _device_name(device) for device in devices},
        "backends": {
            device: found._asdict() if as_json else f"{found.name}: {found.reason}"
            for device, found in backends.items()
        },
        "threads": torch.get_num_threads(),
    }
    show(values, as_json)


@commands.command(name="compile", epilog=examples("napari-sbackprop compile"))
def compile_native(as_json: Json = False) -> None:
    """Compile the native operations now.

    Otherwise that happens when they are first needed. Takes seconds and a C++ compiler; without one everything
    works, in plain PyTorch and slower.
    """
    from napari_sbackprop.ops import CompileError, compile_extension

    try:
        library = compile_extension()
    except CompileError as error:
        raise InputError(str(error)) from error
    show({"library": library}, as_json)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device_name(device: str) -> str:
    import torch

    if device != "cpu":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {os.cpu_count()} cores"
