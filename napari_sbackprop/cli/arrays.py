"""Arrays that users hand over in .npy files, and in cryoDRGN's pickles."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sbackprop.data.input_file import require_file
from napari_sbackprop.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def read_array(path: Path) -> "npt.NDArray[Any]":
    """An array from an .npy file, or a pickle (.pkl), that holds no other Python objects."""
    import numpy as np

    if path.suffix == ".pkl":
        from napari_sbackprop.data.array_pickle import read_arrays

        arrays = read_arrays(path)
        if len(arrays) != 1:
            raise InputError(f"{path} holds {len(arrays)} arrays: give a pickle with one.")
        return arrays[0]
    require_file(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} is damaged or no .npy array of numbers: write it with numpy.save."
        ) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} holds several arrays: give an .npy file with one.")
    return array


def read_latents(path: Path, size: int) -> "npt.NDArray[np.float32]":
    """Finite latents (S, Z) from an .npy file; a single latent may be one row (Z,)."""
    import numpy as np

    array = read_array(path)
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or array.shape[-1] != size:
        raise InputError(f"{path} has shape {array.shape}, but latents of this run have shape (S, {size}).")
    array = np.atleast_2d(array).astype(np.float32)
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise InputError(f"{path} has a value that is not finite in row {row + 1}: remove it.")
    return array
