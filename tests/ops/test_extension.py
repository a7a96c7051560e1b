"""Finding, building and falling back."""

import logging
from pathlib import Path

import pytest
import torch
from problem import make_problem

from napari_sbackprop import ops
from napari_sbackprop.errors import InputError
from napari_sbackprop.ops import dispatch, extension


@pytest.fixture
def fresh_backend() -> None:
    dispatch._backend_of_type.cache_clear()


def test_the_environment_can_ask_for_plain_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBACKPROP_BACKEND", "torch")
    assert ops.backend("cpu").name == "torch"
    problem = make_problem()
    slices = ops.project(
        problem.volumes, problem.coefficients, problem.rotation, problem.disc, problem.sphere
    )
    monkeypatch.delenv("SBACKPROP_BACKEND")
    again = ops.project(problem.volumes, problem.coefficients, problem.rotation, problem.disc, problem.sphere)
    torch.testing.assert_close(slices, again, rtol=1e-4, atol=1e-4)


def test_an_unknown_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBACKPROP_BACKEND", "gpu")
    with pytest.raises(InputError, match="set it to native or torch"):
        ops.backend("cpu")


def test_falling_back_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fresh_backend: None
) -> None:
    failed = extension.Extension(None, "No C++ compiler was found.")
    monkeypatch.setattr(dispatch, "load_extension", lambda: failed)
    with caplog.at_level(logging.WARNING):
        chosen = ops.backend("cpu")
    dispatch._backend_of_type.cache_clear()
    assert chosen == ("torch", "No C++ compiler was found.")
    assert "Falling back to plain PyTorch" in caplog.text
    assert "No C++ compiler was found." in caplog.text


def test_a_native_backend_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBACKPROP_BACKEND", "native")
    with pytest.raises(InputError, match="There are no native kernels for meta devices"):
        ops.backend("meta")


def test_a_missing_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension.shutil, "which", lambda name: None)
    with pytest.raises(ops.CompileError, match=r"^No C\+\+ compiler was found"):
        ops.compile_extension()


def test_a_failing_compiler_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho 'a.cpp:1: error: no such thing' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(
        ops.CompileError, match=r"could not build the native operation: a\.cpp:1: error: no such thing"
    ):
        ops.compile_extension()


def test_a_second_compilation_is_answered_from_the_cache() -> None:
    if ops.backend("cpu").name != "native":
        pytest.skip("no compiled kernels here")
    messages: list[str] = []
    path = ops.compile_extension(messages.append)
    assert path.is_file()
    messages.clear()
    assert ops.compile_extension(messages.append) == path
    assert not messages
