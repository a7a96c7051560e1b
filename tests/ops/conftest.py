"""The CUDA kernels as a launch of theirs runs them, but on the host."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_sbackprop.ops import cuda_runtime
from napari_sbackprop.ops.extension import source_directory


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, torch.dtype], Any]:
    """Build the kernels for the host, per number of channels and type of the volumes."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    folder = tmp_path_factory.mktemp("emulation")
    built: dict[tuple[int, torch.dtype], Any] = {}

    def build(channels: int, stored: torch.dtype) -> Any:
        if (channels, stored) not in built:
            library = folder / f"emulation{channels}{stored}.so"
            source = Path(__file__).with_name("cuda_emulation.cpp")
            include = f"-I{source_directory() / 'cuda'}"
            flags = [
                "-std=c++17",
                "-O2",
                "-fPIC",
                "-shared",
                "-w",
                "-U_FORTIFY_SOURCE",  # it forbids jumps between stacks
                f"-DSBACKPROP_CHANNELS={channels}",
                include,
            ]
            if stored == torch.bfloat16:
                flags.append("-DSBACKPROP_BFLOAT16")
            subprocess.run(["g++", *flags, str(source), "-o", str(library)], check=True)
            built[channels, stored] = ctypes.CDLL(str(library))
        return built[channels, stored]

    return build


@pytest.fixture
def launch_on_the_host(
    emulators: Callable[[int, torch.dtype], Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], None]:
    """Let launches run the host build, from now on in a random order of blocks and threads that a seed gives."""

    def with_seed(seed: int) -> None:
        def launch(
            program: str,
            kernel: str,
            channels: int,
            grid: tuple[int, int],
            arguments: Sequence[Any],
            device: torch.device,
            stored: torch.dtype = torch.float32,
        ) -> None:
            pointers = cuda_runtime.pointers_to(arguments)
            assert emulators(channels, stored).emulate(kernel.encode(), *grid, pointers, seed) == 0

        monkeypatch.setattr(cuda_runtime, "launch", launch)

    return with_seed


@pytest.fixture(params=[1, 2], ids=["order 1", "order 2"])
def on_the_host(request: pytest.FixtureRequest, launch_on_the_host: Callable[[int], None]) -> None:
    """Let launches run the host build, in one of two random orders."""
    launch_on_the_host(request.param)
