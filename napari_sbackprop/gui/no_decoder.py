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
    """Knows the pixel size of the images in angstrom; asked for a map, it says why there is none."""

    pixel_size: float

    def volume(self, latent: Any) -> NoReturn:  # noqa: ARG002
        raise InputError(NO_MAP)

    def consensus(self) -> NoReturn:
        raise InputError(NO_MAP)

    def mask(self) -> NoReturn:
        raise InputError(NO_MAP)

    def pooled(self, indices: Any) -> NoReturn:  # noqa: ARG002
        raise InputError(NO_MAP)
