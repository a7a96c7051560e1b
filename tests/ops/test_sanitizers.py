"""The CPU kernels under the sanitizers of the compiler: no access out of bounds, no undefined behaviour, no race."""

import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from napari_sbackprop.ops.extension import source_directory

HERE = Path(__file__).parent
TORCH = Path(torch.__path__[0])
UNITS = ("operation", "descend", "plan", "kernels_portable", "kernels_avx2")
FLAGS = (
    *("-std=c++17", "-O1", "-g", "-fno-omit-frame-pointer", "-fPIC", "-Wno-psabi"),
    *("-DTORCH_TARGET_VERSION=0x020a000000000000", "-DSBACKPROP_WITH_AVX2"),
    *("-isystem", str(TORCH / "include")),
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("g++") is None,
        reason="needs g++ on an x86 Linux",
    ),
]


def runtimes(sanitizers: str) -> list[str]:
    """Libraries that must be loaded before Python; skips where the compiler has none."""
    names = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}
    found = []
    for name in sanitizers.split(","):
        asked = ["g++", f"-print-file-name={names[name]}"]
        path = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        if not Path(path).is_absolute():
            pytest.skip(f"g++ has no {names[name]}")
        found.append(path)
    return found


def build(sanitizers: str, folder: Path) -> Path:
    """The native library, watched, with plain threads in place of torch's."""

    def compile_unit(source: Path) -> Path:
        extra = ("-mavx2", "-mfma") if source.stem == "kernels_avx2" else ()
        target = folder / f"{source.stem}.o"
        command = ["g++", *FLAGS, *extra, f"-fsanitize={sanitizers}", "-c", str(source), "-o", str(target)]
        subprocess.run(command, check=True)
        return target

    sources = [source_directory() / "cpu" / f"{unit}.cpp" for unit in UNITS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_unit, [*sources, HERE / "plain_threads.cpp"]))
    library = folder / "native.so"
    link = [f"-L{TORCH / 'lib'}", "-Wl,--no-as-needed", "-ltorch_cpu", "-Wl,-Bsymbolic-functions"]
    command = ["g++", "-shared", f"-fsanitize={sanitizers}", *map(str, objects), *link, "-o", str(library)]
    subprocess.run(command, check=True)
    return library


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_a_sanitizer_finds_nothing(sanitizers: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(runtimes(sanitizers)),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SBACKPROP_BACKEND": "torch",  # the library that is tested is loaded by its path
        "ASAN_OPTIONS": "detect_leaks=0",  # Python leaves some
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "TSAN_OPTIONS": "ignore_noninstrumented_modules=1:halt_on_error=1",
    }
    command = [sys.executable, str(HERE / "run_native.py"), str(build(sanitizers, tmp_path))]
    if "thread" in sanitizers and (setarch := shutil.which("setarch")):
        command = [setarch, "-R", *command]  # its memory map knows no wide randomisation of addresses
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
