"""What stands for a decoder where a run has none, as those taken over from another program."""

from dataclasses import dataclass
from typing import Any, NoReturn

from napari_sbackprop.errors import InputError

NO_MAP = (
    "There is no map here: this run holds latents alone, taken over without their decoder. "
    "Select and export as usual. Reconstruct makes the map of a selection from its images."
)


@dataclass(frozen=True)
class NoDecoder:
    """Knows the box and the pixel size in angstrom of the images; asked for a map, it says why there is none."""

    box: int
    pixel_size: float

    @property
    def basis(self) -> NoReturn:
        raise InputError(NO_MAP)

    def _refuse(self, *_: Any) -> NoReturn:
        raise InputError(NO_MAP)

    coefficients = volume = mixed = on_grid = consensus = mask = pooled = _refuse
