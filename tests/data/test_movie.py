"""Movies of pictures, read back by another program."""

from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.data.movie import new_movie
from napari_sbackprop.errors import InputError


@pytest.mark.parametrize("name", ["morph.MP4", "morph.gif"])
def test_a_picture_of_another_size_is_refused_and_nothing_kept(tmp_path: Path, name: str) -> None:
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(InputError, match="window was resized"):
        _record(tmp_path / name, (32, 48), (32, 64))
    assert not list(tmp_path.iterdir())


def test_an_ending_counts_in_capitals_too(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    _record(tmp_path / "morph.MP4", (32, 48), (32, 48))
    assert ffmpeg.count_frames_and_secs(str(tmp_path / "morph.MP4"))[0] == 2


def _record(path: Path, *sizes: tuple[int, int]) -> None:
    with new_movie(path) as append:
        for size in sizes:
            append(np.zeros((*size, 3), np.uint8))
