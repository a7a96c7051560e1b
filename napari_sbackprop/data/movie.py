"""Movies: images one after the other into an .mp4 or .gif file."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError

Image = npt.NDArray[np.uint8]

FRAMES_PER_SECOND = 15


@contextmanager
def new_movie(path: Path) -> Iterator[Callable[[Image], None]]:
    """Give a function that appends an image (rows, columns, 3) to a new movie; all images are of one size.

    Raises
    ------
    InputError
        `path` exists, has another ending than .mp4 or .gif, or the package that writes it is not installed; an
        image is of another size than the first.
    """
    append_to = {".mp4": _write_mp4, ".gif": _write_gif}.get(path.suffix.lower())
    if append_to is None:
        raise InputError(f"{path} does not end in .mp4 or .gif, which tell the format: name it so.")
    with new_file(path) as temporary, ExitStack() as stack:
        yield _of_one_size(append_to(temporary, stack, path))


def _of_one_size(append: Callable[[Image], None]) -> Callable[[Image], None]:
    shapes: set[tuple[int, ...]] = set()

    def append_checked(image: Image) -> None:
        shapes.add(image.shape)
        if len(shapes) > 1:
            raise InputError("The window was resized while the movie was recorded: record it again.")
        append(image)

    return append_checked


def _write_mp4(temporary: Path, stack: ExitStack, path: Path) -> Callable[[Image], None]:
    try:
        from imageio_ffmpeg import write_frames
    except ImportError as error:
        raise InputError(_needs(path, "imageio-ffmpeg")) from error
    writers: list[Generator[None, Any, None]] = []

    def append(image: Image) -> None:
        rows, columns = (side // 2 * 2 for side in image.shape[:2])  # the encoder wants even sides
        if not writers:
            options = {"fps": FRAMES_PER_SECOND, "macro_block_size": 2, "output_params": ["-f", "mp4"]}
            writers.append(write_frames(str(temporary), (columns, rows), **options))
            writers[0].send(None)
            stack.callback(writers[0].close)
        writers[0].send(np.ascontiguousarray(image[:rows, :columns]))

    return append


def _write_gif(temporary: Path, stack: ExitStack, path: Path) -> Callable[[Image], None]:
    try:
        from imageio.v2 import get_writer
    except ImportError as error:
        raise InputError(_needs(path, "imageio")) from error
    file = stack.enter_context(temporary.open("wb"))
    writer: Any = stack.enter_context(
        get_writer(file, format="GIF", mode="I", duration=1000 / FRAMES_PER_SECOND, loop=0)
    )

    def append(image: Image) -> None:
        writer.append_data(image)

    return append


def _needs(path: Path, package: str) -> str:
    return f"{path} needs the package {package}: install it with pip install 'napari-sbackprop[movie]'."
