"""Compile and launch CUDA kernels with what every CUDA build of torch brings: NVRTC and the driver, through ctypes.

No CUDA toolkit, no compiler and no headers are needed. A program is compiled once per GPU architecture, number of
channels and type of the volumes that it reads, and kept in the user's cache.
"""

import ctypes
import hashlib
import logging
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from napari_sbackprop.ops.extension import CompileError, cache_directory, source_directory

_log = logging.getLogger(__name__)
THREADS = 128  # per block; kThreads in csrc/cuda/tile.h
_OPTIONS = ("--std=c++17", "--extra-device-vectorization")


class CudaError(Exception):
    """The CUDA driver refused a call; the message is one sentence."""


def program_source(program: str) -> tuple[str, dict[str, str]]:
    """Source of csrc/cuda/<program>.cu and the headers it includes, by the names it includes them by."""
    root = source_directory()
    headers = {"tile.h": root / "cuda" / "tile.h", "../trilinear.h": root / "trilinear.h"}
    source = (root / "cuda" / f"{program}.cu").read_text()
    return source, {name: path.read_text() for name, path in headers.items()}


@cache
def _nvrtc() -> Any:
    """Load the NVRTC that torch has loaded already, or that lies beside it."""
    major = (torch.version.cuda or "12").split(".")[0]
    names = [f"libnvrtc.so.{major}", "libnvrtc.so", f"nvrtc64_{major}0_0.dll"]
    site = Path(torch.__path__[0]).parent
    names += [str(path) for path in sorted(site.glob("nvidia/*/lib/libnvrtc.so.*"))]
    names += [str(path) for path in sorted((site / "torch" / "lib").glob("*nvrtc*"))]
    for name in names:
        if "builtins" in name:
            continue
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise CompileError("NVRTC, the CUDA compiler library that comes with torch, was not found.")


def _checked(nvrtc: Any, status: int, what: str) -> None:
    if status != 0:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise CompileError(f"NVRTC failed while {what}: {nvrtc.nvrtcGetErrorString(status).decode()}.")


def _target(nvrtc: Any, capability: tuple[int, int]) -> tuple[str, bool]:
    """Architecture option and whether the result is a cubin; a GPU newer than NVRTC gets PTX of the newest it knows."""
    count = ctypes.c_int()
    _checked(nvrtc, nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count)), "listing architectures")
    known = (ctypes.c_int * count.value)()
    _checked(nvrtc, nvrtc.nvrtcGetSupportedArchs(known), "listing architectures")
    wanted = 10 * capability[0] + capability[1]
    if wanted in known:
        return f"sm_{wanted}", True
    return f"compute_{max(arch for arch in known if arch < wanted)}", False


def _read(nvrtc: Any, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _checked(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), f"reading {what}")
    text = ctypes.create_string_buffer(size.value)
    _checked(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, text), f"reading {what}")
    return text.raw


def compile_program(
    program: str, channels: int, capability: tuple[int, int], stored: torch.dtype = torch.float32
) -> bytes:
    """Compile csrc/cuda/<program>.cu for C channels and one GPU architecture; needs no GPU.

    Parameters
    ----------
    stored : type of the volumes that are read, float32 or bfloat16.

    Returns
    -------
    A cubin, or PTX text where NVRTC is older than the GPU.
    """
    nvrtc = _nvrtc()
    source, headers = program_source(program)
    architecture, is_binary = _target(nvrtc, capability)
    handle = ctypes.c_void_p()
    texts = (ctypes.c_char_p * len(headers))(*(text.encode() for text in headers.values()))
    names = (ctypes.c_char_p * len(headers))(*(name.encode() for name in headers))
    created = nvrtc.nvrtcCreateProgram(
        ctypes.byref(handle), source.encode(), f"{program}.cu".encode(), len(headers), texts, names
    )
    _checked(nvrtc, created, "reading the kernels")
    options = [*_OPTIONS, f"--gpu-architecture={architecture}", f"-DSBACKPROP_CHANNELS={channels}"]
    if stored == torch.bfloat16:
        options.append("-DSBACKPROP_BFLOAT16")
    arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    try:
        if nvrtc.nvrtcCompileProgram(handle, len(options), arguments) != 0:
            log = _read(nvrtc, handle, "ProgramLog").rstrip(b"\0").decode()
            errors = [line for line in log.splitlines() if "error" in line] or [log]
            raise CompileError(f"NVRTC could not compile {program}.cu for {architecture}: {errors[0]}")
        return _read(nvrtc, handle, "CUBIN" if is_binary else "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(handle))


def _cached_program(program: str, channels: int, capability: tuple[int, int], stored: torch.dtype) -> bytes:
    source, headers = program_source(program)
    version = f"{torch.version.cuda} {capability} {channels} {stored} {_OPTIONS}"
    key = hashlib.sha256("\0".join([version, source, *headers.values()]).encode()).hexdigest()[:16]
    path = cache_directory() / "cuda" / f"{program}-{key}.bin"
    if path.is_file():
        return path.read_bytes()
    image = compile_program(program, channels, capability, stored)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(image)
        partial.replace(path)
    except OSError as error:  # a full or read-only home costs a compilation next time, no more
        _log.info("The compiled CUDA kernels could not be kept in %s: %s", path.parent, error)
    return image


@cache
def _driver() -> Any:
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise CudaError("The CUDA driver library was not found.")


def _call(name: str, *arguments: Any) -> None:
    driver = _driver()
    status = getattr(driver, name)(*arguments)
    if status != 0:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(status, ctypes.byref(text))
        raise CudaError(f"{name} failed: {(text.value or b'unknown error').decode()}.")


def _make_context_current(device: int) -> None:
    """Give this thread torch's context: the driver API needs one, and a fresh thread has none."""
    context = ctypes.c_void_p()
    _call("cuCtxGetCurrent", ctypes.byref(context))
    if not context.value:
        _call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        _call("cuCtxSetCurrent", context)


@cache
def _module(program: str, channels: int, device: int, stored: torch.dtype) -> ctypes.c_void_p:
    image = _cached_program(program, channels, torch.cuda.get_device_capability(device), stored)
    module = ctypes.c_void_p()
    _call("cuModuleLoadData", ctypes.byref(module), image)
    return module


@cache
def _function(program: str, kernel: str, channels: int, device: int, stored: torch.dtype) -> ctypes.c_void_p:
    function = ctypes.c_void_p()
    module = _module(program, channels, device, stored)
    _call("cuModuleGetFunction", ctypes.byref(function), module, kernel.encode())
    return function


def pointers_to(arguments: Sequence[Any]) -> "ctypes.Array[ctypes.c_void_p]":
    """Arguments of a kernel as cuLaunchKernel takes them; they must outlive the array."""
    pointers = (ctypes.cast(ctypes.pointer(value), ctypes.c_void_p) for value in arguments)
    return (ctypes.c_void_p * len(arguments))(*pointers)


def launch(
    program: str,
    kernel: str,
    channels: int,
    grid: tuple[int, int],
    arguments: Sequence[Any],
    device: torch.device,
    stored: torch.dtype = torch.float32,
) -> None:
    """Start a kernel of csrc/cuda/<program>.cu on torch's current stream of a device.

    Parameters
    ----------
    grid : blocks along x and y.
    arguments : ctypes values in the kernel's order, pointers as c_void_p.
    stored : type of the volumes that the kernel reads, float32 or bfloat16.
    """
    index = torch.cuda.current_device() if device.index is None else device.index
    with torch.cuda.device(index):
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        _make_context_current(index)
        function = _function(program, kernel, channels, index, stored)
        _call("cuLaunchKernel", function, *grid, 1, THREADS, 1, 1, 0, stream, pointers_to(arguments), None)
