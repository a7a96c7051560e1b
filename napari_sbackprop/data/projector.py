"""Transforms of point scatterers: exact images and maps, without any interpolation of a map.

A scatterer is split bilinearly over the four nearest points of a grid four times finer than the image; one fast
transform of that grid, cropped, is the transform of the image. The splitting multiplies it by sinc^2 of the fine pixel
on each axis, which is divided out. What remains is the aliasing of the fine grid: below 1 % of the exact Fourier sum.

The method shares nothing with central slices of a voxel map, so that it can judge them.

Transforms are unnormalised, in numpy's order, of arrays whose centre is index box // 2; an image is the sum of the
map's voxels along the ray.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.specimen import FloatArray, Specimen

OVERSAMPLING = 4
"""Fine grid points per image pixel and axis."""

ComplexArray = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class BeadProjector:
    """Projects the scatterers of one specimen into images and maps of one box.

    Attributes
    ----------
    specimen
        The scatterers.
    box
        Image side in pixels, even.
    pixel_size
        Angstrom per pixel.
    b_factor
        Envelope exp(-b s^2 / 4) of the density itself, angstrom^2.
    """

    specimen: Specimen
    box: int
    pixel_size: float
    b_factor: float

    def image_transform(
        self, rotation: FloatArray, origin: FloatArray, state: int, present: bool = True
    ) -> ComplexArray:
        """Transform of one projection, without CTF.

        Parameters
        ----------
        rotation
            (3, 3) A: map coordinates to image coordinates.
        origin
            (2,) x, y in angstrom: the translation which centres the particle, so that it sits at -origin.
        state
            Conformational state, from 0.
        present
            Whether the optional part is there.

        Returns
        -------
        (box, box // 2 + 1) complex64, not yet multiplied by `image_filter`.
        """
        keep = self.specimen.visible(state, present)
        points = self.specimen.positions[state, keep] @ rotation[:2].T - origin
        return self._plane_transform(self._fine(points), self.specimen.weights[keep])

    def image_filter(self) -> npt.NDArray[np.float32]:
        """(box, box // 2 + 1) form factor, envelope and correction of the splitting; zero from the Nyquist shell on."""
        ky, kx = self._frequencies()[:, None], self._frequencies()[None, : self.box // 2 + 1]
        splitting = self._splitting(kx) * self._splitting(ky)
        return (self._filter(kx**2 + ky**2) / splitting).astype(np.float32)

    def volume(
        self, state: int, present: bool = True, part: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[np.float32]:
        """(box, box, box) map [z, y, x] of one state, or of a part of it, sampled from its transform inside Nyquist."""
        keep = self.specimen.visible(state, present) if part is None else part
        fine = self._fine(self.specimen.positions[state, keep])
        weights = self.specimen.weights[keep]
        layer = np.floor(fine[:, 2]).astype(np.int64)
        upper = fine[:, 2] - layer
        side = OVERSAMPLING * self.box
        planes = np.zeros((side, self.box, self.box // 2 + 1), np.complex64)
        order = np.argsort(layer, kind="stable")
        starts = np.searchsorted(layer[order], np.arange(side + 1))
        for z in range(side):
            members = order[starts[z] : starts[z + 1]]
            if members.size:
                planes[z] += self._plane_transform(fine[members, :2], weights[members] * (1 - upper[members]))
                planes[z + 1] += self._plane_transform(fine[members, :2], weights[members] * upper[members])
        transform = _crop_rows(np.fft.fft(planes, axis=0), self.box)
        k = self._frequencies()
        kz, ky, kx = k[:, None, None], k[None, :, None], k[None, None, : self.box // 2 + 1]
        transform *= self._filter(kx**2 + ky**2 + kz**2)
        transform /= self._splitting(kx) * self._splitting(ky) * self._splitting(kz)
        return np.fft.irfftn(transform, s=(self.box,) * 3, axes=(0, 1, 2)).astype(np.float32)

    def _fine(self, points: FloatArray) -> FloatArray:
        """Angstrom from the centre to fine grid units from index 0."""
        fine: FloatArray = points * (OVERSAMPLING / self.pixel_size) + OVERSAMPLING * self.box // 2
        return fine

    def _plane_transform(self, fine: FloatArray, weights: FloatArray) -> ComplexArray:
        """Cropped transform of scatterers split over one plane of the fine grid.

        The centre of the fine grid (2 box) and of the image (box / 2) give the same phase (-1)^k, so that cropping needs
        no further phase. Rows without scatterers are left out of the first pass.
        """
        side = OVERSAMPLING * self.box
        corner = np.floor(fine).astype(np.int64)
        right, up = (fine - corner).T
        low, high = int(corner[:, 1].min()), int(corner[:, 1].max()) + 2
        flat = (corner[:, 1] - low) * side + corner[:, 0]
        plane = np.zeros((high - low) * side)
        for step, share in (
            (0, (1 - right) * (1 - up)),
            (1, right * (1 - up)),
            (side, (1 - right) * up),
            (side + 1, right * up),
        ):
            plane += np.bincount(flat + step, weights * share, minlength=plane.size)
        rows = np.zeros((side, self.box // 2 + 1), np.complex64)
        rows[low:high] = np.fft.rfft(plane.astype(np.float32).reshape(-1, side), axis=1)[
            :, : self.box // 2 + 1
        ]
        return _crop_rows(np.fft.fft(rows, axis=0), self.box)

    def _frequencies(self) -> FloatArray:
        """(box,) integer frequencies in numpy's order."""
        return np.fft.fftfreq(self.box, 1 / self.box).astype(np.float64)

    def _splitting(self, k: FloatArray) -> FloatArray:
        """Transform of the linear splitting along one axis."""
        split: FloatArray = np.sinc(k / (OVERSAMPLING * self.box)) ** 2
        return split

    def _filter(self, k_squared: FloatArray) -> npt.NDArray[np.float32]:
        """Form factor and envelope; zero from the Nyquist shell on, corners and Nyquist rows included."""
        s_squared = k_squared / (self.box * self.pixel_size) ** 2
        factor = sum(a * np.exp(-(b + self.b_factor) * s_squared / 4) for a, b in self.specimen.form_factor)
        return np.where(k_squared < (self.box // 2) ** 2, factor, 0).astype(np.float32)


def _crop_rows(transform: npt.NDArray[np.complexfloating], size: int) -> ComplexArray:
    """Keep the `size` lowest frequencies of the first axis, numpy's order in and out."""
    kept = np.concatenate((transform[: size // 2], transform[transform.shape[0] - size // 2 :]))
    return kept.astype(np.complex64, copy=False)  # numpy before 2 transforms in double precision only
