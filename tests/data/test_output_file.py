"""Files and folders that appear when they are complete, or not at all."""

import errno
from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.data.output_file import new_file, new_folder, require_ending, require_room
from napari_sbackprop.errors import InputError

FULL = Path("/dev/full")
"""A file of Linux to which nothing can be written, as to a full disk."""


def fill_the_disk() -> None:
    with FULL.open("wb") as file:
        file.write(b"1")


def end_early() -> None:
    """What numpy raises where only some of the bytes could be written: an error without a number."""
    raise OSError("300 requested and 58 written")


def interrupt() -> None:
    raise KeyboardInterrupt


def write(make, path: Path, fail) -> None:
    """Begin a new file or folder, and fail."""
    with make(path) as temporary:
        (temporary / "first" if make is new_folder else temporary).write_text("some")
        fail()


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("make", [new_file, new_folder])
@pytest.mark.parametrize("fail", [fill_the_disk, end_early])
def test_a_full_disk_is_told_with_the_name_and_leaves_nothing(tmp_path: Path, make, fail) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        write(make, tmp_path / "new", fail)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "new"))
    assert not list(tmp_path.iterdir())


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing") as caught, new_file(tmp_path / "new"):
        np.load(tmp_path / "missing")
    assert caught.value.filename == str(tmp_path / "missing")


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(new_folder, tmp_path / "deep" / "new", interrupt)
    assert not list((tmp_path / "deep").iterdir())


@pytest.mark.parametrize("name", ["new", "empty", "link", "."])
def test_a_folder_may_be_new_or_empty_a_link_or_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    monkeypatch.chdir(tmp_path / "empty" if name == "." else tmp_path)
    with new_folder(Path(name)) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "first").write_text("complete")
    assert sorted(item.name for item in Path(name).iterdir()) == ["first", "inner"]
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted({"empty", "link", name} - {"."})
    with pytest.raises(InputError, match="exists and is not empty"), new_folder(Path(name)):
        pass


def test_files_that_come_into_a_folder_meanwhile_stay(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not empty any more"):
        write(new_folder, tmp_path, lambda: (tmp_path / "first").write_text("another's"))
    assert [item.read_text() for item in tmp_path.iterdir()] == ["another's"]


def test_room_and_endings_are_asked_for_before_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the folder .*nowhere does not exist; make it first"):
        require_room(tmp_path / "nowhere" / "a.star")
    with pytest.raises(InputError, match=r"a\.map does not end in \.mrc, which tells the format"):
        require_ending(tmp_path / "a.map", ".mrc")
    require_ending(tmp_path / "a.mrc", ".map", ".mrc")
