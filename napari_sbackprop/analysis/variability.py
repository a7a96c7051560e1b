"""Where the map varies, and by how much: over all particles, and along one direction."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def standard_deviation(basis: Array, coefficients: Array) -> Array:
    """Standard deviation of the density over the particles at every voxel, (n,) in units of the map.

    The map of particle i is V_0 + sum_k s_ik V_k (eq. 3 of Kimanius et al. 2022), so the variance at a voxel is
    sum_kl V_k V_l cov(s)_kl.

    Parameters
    ----------
    basis : (K, n) volumes V_1 ... V_K in real space.
    coefficients : (N, K), s of every particle.
    """
    strength, directions = np.linalg.eigh(_covariance(coefficients))
    factor = directions * np.sqrt(strength.clip(min=0))  # (K, K), factor @ factor.T is the covariance
    return np.asarray(np.sqrt(np.square(factor.T.astype(np.float32) @ basis).sum(0)))


def basis_shares(basis: Array, coefficients: Array) -> npt.NDArray[np.float64]:
    """Share (K,) of the variance of the maps that each basis volume explains; they add up to 1.

    The covariance of s_k V_k with the map, summed over the voxels: what two volumes explain together is halved between
    them, so that a share may be negative. Parameters as in `standard_deviation`.
    """
    joint = np.sum(_covariance(coefficients) * (basis @ basis.T).astype(np.float64), axis=1)
    return np.asarray(joint / max(joint.sum(), np.finfo(np.float64).tiny))


def centre_of_change(change: Array, pixel_size: float) -> npt.NDArray[np.float64]:
    """Centre of mass (3,) [x, y, z] of the squared map (M, M, M), in angstrom from the centre of the box at M // 2."""
    weight = np.square(change, dtype=np.float64)
    place = np.arange(len(change)) - len(change) // 2
    profiles = [weight.sum(axis=others) for others in ((0, 1), (0, 2), (1, 2))]
    total = max(weight.sum(), np.finfo(np.float64).tiny)
    return np.array([profile @ place for profile in profiles]) * (pixel_size / total)


def collectivity(change: Array, region: npt.NDArray[np.bool_]) -> float:
    """Share of a region that takes part in a change: 1 where all its voxels change alike, near 0 where one does.

    The exponential of the entropy of the squared change (Brüschweiler, J. Chem. Phys. 102:3396, 1995), for voxels in
    the place of atoms. Both arrays are (M, M, M).
    """
    weight = np.square(change[region], dtype=np.float64)
    weight = weight[weight > 0]
    if not len(weight):
        return 0.0
    share = weight / weight.sum()
    return float(np.exp(-(share * np.log(share)).sum()) / region.sum())


def _covariance(coefficients: Array) -> npt.NDArray[np.float64]:
    return np.atleast_2d(np.cov(coefficients.T.astype(np.float64)))
