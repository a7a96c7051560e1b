"""Find, build and load the native library of the CPU kernels.

Order: a library shipped next to this package, a cached build, one compilation of csrc/ (about ten seconds, once), and
where none of these works the plain PyTorch reference with the reason in one sentence. The library uses LibTorch's
stable ABI: any torch from 2.10 on loads it, whatever it was compiled against.
"""

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from napari_sbackprop.errors import InputError

_log = logging.getLogger(__name__)
_lock = threading.Lock()

BACKEND_VARIABLE = "SBACKPROP_BACKEND"
_LIBRARY = "native" + {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
_TARGET_VERSION = "0x020a000000000000"  # torch 2.10: the oldest whose stable ABI has all that csrc/ calls
_FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wno-psabi"),
    # Not -ffast-math: it would switch the whole process to flush-to-zero when the library loads.
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffp-contract=fast"),
    f"-DTORCH_TARGET_VERSION={_TARGET_VERSION}",
)


class Extension(NamedTuple):
    """Outcome of loading: the library's path, or None and why."""

    path: Path | None
    reason: str


class CompileError(Exception):
    """The native library could not be built; the message is one sentence."""


def source_directory() -> Path:
    """Folder csrc/: inside the package in a wheel, at the repository's root in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for directory in (package / "csrc", package.parent / "csrc"):
        if (directory / "trilinear.h").is_file():
            return directory
    raise CompileError(f"The C++ sources are missing from {package}; reinstall napari-sbackprop.")


def cache_directory() -> Path:
    """Folder for compiled libraries and kernels, per user."""
    if sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "napari-sbackprop"


def _instruction_set_flags() -> dict[str, tuple[str, ...]]:
    """Source files to compile and the flags of each; all instruction sets of a platform, chosen between at run time."""
    units: dict[str, tuple[str, ...]] = dict.fromkeys(
        ("operation.cpp", "descend.cpp", "plan.cpp", "kernels_portable.cpp"), ()
    )
    if platform.machine().lower() in ("x86_64", "amd64"):
        # One cluster home serves unlike nodes, so the choice can't be made while compiling.
        units = dict.fromkeys(units, ("-DSBACKPROP_WITH_AVX2",))
        units["kernels_avx2.cpp"] = ("-DSBACKPROP_WITH_AVX2", "-mavx2", "-mfma")
    return units


def _compiler() -> str:
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise CompileError("No C++ compiler was found (looked for CXX, c++, g++, clang++).")


def _build_key(compiler: str, sources: Path) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    digest = hashlib.sha256()
    for part in (version, platform.system(), platform.machine(), *_FLAGS, str(_instruction_set_flags())):
        digest.update(part.encode() + b"\0")
    for path in sorted([*sources.glob("*.h"), *(sources / "cpu").iterdir()]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        first = (errors or done.stderr.splitlines() or ["no message"])[0].strip()
        raise CompileError(f"{command[0]} could not build the native operation: {first}")


def _link_flags(libraries: Path) -> list[str]:
    if sys.platform == "darwin":
        return ["-dynamiclib", "-undefined", "dynamic_lookup"]
    return ["-shared", f"-L{libraries}", "-Wl,--no-as-needed", "-ltorch_cpu"]


def _build(compiler: str, sources: Path, target: Path) -> None:
    """Compile every file of csrc/cpu at once, link, and move the result into place in one step."""
    torch_root = Path(torch.__path__[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        objects = {name: str(Path(folder) / f"{name}.o") for name in _instruction_set_flags()}
        include = ["-isystem", str(torch_root / "include")]
        commands = [
            [compiler, *_FLAGS, *extra, *include, "-c", str(sources / "cpu" / name), "-o", objects[name]]
            for name, extra in _instruction_set_flags().items()
        ]
        with ThreadPoolExecutor(len(commands)) as pool:
            list(pool.map(_run, commands))
        built = Path(folder) / _LIBRARY
        _run([compiler, *objects.values(), *_link_flags(torch_root / "lib"), "-o", str(built)])
        built.replace(target)  # another process may be building the same library


def compile_extension(report: Callable[[str], None] = _log.info) -> Path:
    """Compile csrc/ into the user's cache, unless the same sources are there already, and return the library's path.

    Parameters
    ----------
    report : receives one sentence before a compilation starts and one when it is done.
    """
    sources, compiler = source_directory(), _compiler()
    target = cache_directory() / _build_key(compiler, sources) / _LIBRARY
    if target.is_file():
        return target
    report(f"Compiling the native operation with {compiler}; this happens once and takes about ten seconds.")
    try:
        _build(compiler, sources, target)
    except OSError as error:
        raise CompileError(
            f"The native operation could not be written to {target.parent}: {error}"
        ) from error
    report(f"Compiled the native operation: {target}")
    return target


def _find_library() -> Path:
    prebuilt = Path(__file__).with_name(_LIBRARY)
    return prebuilt if prebuilt.is_file() else compile_extension()


@cache
def _load() -> Extension:
    try:
        path = _find_library()
        torch.ops.load_library(str(path))
    except (CompileError, OSError) as error:
        return Extension(None, str(error))
    return Extension(path, "")


def load_extension() -> Extension:
    """Load the library once per process, compiling it where needed; never raises for a missing compiler."""
    # Two threads that both start the first operation must not both compile.
    with _lock:
        return _load()


def forced_backend() -> str | None:
    """Value of SBACKPROP_BACKEND, "native" or "torch", or None where it is not set."""
    name = os.environ.get(BACKEND_VARIABLE)
    if name and name not in ("native", "torch"):
        raise InputError(f"{BACKEND_VARIABLE} is {name!r}; set it to native or torch, or unset it.")
    return name or None
