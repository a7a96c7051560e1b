"""Specimens from two atomic models of one complex: what moves as a rigid body goes along a screw, the rest linearly.

The models are superposed on what stays, the largest rigid domain that moves is found, and the states are interpolated
between them. Needs gemmi (the optional extra "models").
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.specimen import FloatArray, Screw, Specimen, centre
from napari_sbackprop.errors import InputError

if TYPE_CHECKING:
    import gemmi

BoolArray = npt.NDArray[np.bool_]
AtomKey = tuple[str, int, str, str]
"""Chain, residue number, insertion code, atom name."""

MIN_ATOMS = 30
"""Fewer common atoms than this are taken for models of different things."""
CORE_SHARE = 0.5
"""Share of the residues, those that move least, on which the models are superposed."""
STARTS = 12
"""Stretches of residues from which the superposition starts."""
MOVED = 4.0
"""Displacement in angstrom beyond which a residue may belong to the moving domain."""
WINDOW = 7
"""Residues over which the choice between moving and staying is averaged."""
MAX_GAP = 15
"""Residues that stay, but don't interrupt a stretch of the moving domain; missing ones never do."""
MIN_DOMAIN = 10
"""Residues of the smallest moving domain."""
ROUNDS = 30
"""Limit of the alternating fits, which settle after a few."""


@dataclass(frozen=True)
class AtomPairs:
    """Atoms that two models have in common, in the order of the first.

    Attributes
    ----------
    first, last
        (A, 3) angstrom.
    residue
        (A,) index of each atom's residue, ascending from 0.
    chain, number
        (R,) name of the chain and sequence number of each residue.
    elements
        (A,) element symbols.
    """

    first: FloatArray
    last: FloatArray
    residue: npt.NDArray[np.int64]
    chain: npt.NDArray[np.str_]
    number: npt.NDArray[np.int64]
    elements: npt.NDArray[np.str_]

    def residue_means(self, positions: FloatArray) -> FloatArray:
        """Mean position (R, 3) of each residue's atoms."""
        counts = np.bincount(self.residue)
        return np.stack([np.bincount(self.residue, axis) / counts for axis in positions.T], axis=1)


def interpolate_models(first: Path, last: Path, states: int, *, circle: bool = False) -> Specimen:
    """States between two models of one complex, or all the way round.

    The moving domain goes along the screw between its two places; its change of shape, and all other atoms, are
    interpolated linearly. Heavy atoms of protein and nucleic acid that both models have are kept.

    Parameters
    ----------
    first, last
        PDB or mmCIF files, may be gzipped: the first and the last state.
    states
        Number of states, evenly spaced.
    circle
        The domain of the first model goes round the screw's axis instead, back to where it began; all else stays.

    Raises
    ------
    InputError
        A file that cannot be read, or models with too little in common, or without a domain that moves.
    """
    pairs = match_atoms(_read_atoms(Path(first)), _read_atoms(Path(last)), f"{first} and {last}")
    before, after = pairs.residue_means(pairs.first), pairs.residue_means(pairs.last)
    rotation, translation = superpose_core(after, before)
    last_atoms = pairs.last @ rotation.T + translation
    after = after @ rotation.T + translation
    domain, screw = find_moving_domain(before, after, pairs.chain, f"{first} and {last}")
    moving = domain[pairs.residue]

    if circle:
        screw, last_atoms = replace(screw, angle=360.0, advance=0.0), pairs.first
    back = screw.apply(last_atoms, -1.0)
    positions = np.empty((states, len(moving), 3))
    for state, u in enumerate(np.linspace(0, 1, states, endpoint=not circle)):
        positions[state] = (1 - u) * pairs.first + u * last_atoms
        positions[state, moving] = screw.apply(((1 - u) * pairs.first + u * back)[moving], float(u))
    weights, form_factor = _scattering(pairs.elements)
    middle = centre(positions)
    place = pairs.residue_means(pairs.first)[domain].mean(axis=0)
    shift = np.linalg.norm(screw.apply(place[None], 0.5 if circle else 1.0)[0] - place)  # at the farthest
    return Specimen(
        name=f"complex from {Path(first).name} to {Path(last).name}",
        positions=positions - middle,
        weights=weights,
        form_factor=form_factor,
        moving=moving,
        optional=np.zeros(len(moving), bool),
        occupied=np.ones((len(positions), len(moving)), bool),
        arrangement="ring" if circle else "line",
        motion={
            **screw.moved(-middle).facts(),
            "centre_moves_angstrom": round(float(shift), 3),
            "residues": _stretches(pairs, domain),
        },
    )


def match_atoms(
    first: dict[AtomKey, tuple[FloatArray, str]], last: dict[AtomKey, tuple[FloatArray, str]], names: str
) -> AtomPairs:
    """Atoms of equal chain, residue number and name; `names` is for the message when there are too few."""
    common = [key for key in first if key in last]
    if len(common) < MIN_ATOMS:
        raise InputError(
            f"{names} have only {len(common)} protein or nucleic acid atoms in common: give two models with the same chain "
            "names and residue numbers."
        )
    residues = list(dict.fromkeys(key[:3] for key in common))
    index = {residue: i for i, residue in enumerate(residues)}
    order = sorted(common, key=lambda key: index[key[:3]])
    return AtomPairs(
        first=np.array([first[key][0] for key in order]),
        last=np.array([last[key][0] for key in order]),
        residue=np.array([index[key[:3]] for key in order]),
        chain=np.array([residue[0] for residue in residues]),
        number=np.array([residue[1] for residue in residues]),
        elements=np.array([first[key][1] for key in order]),
    )


def rigid_fit(source: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Least-squares rotation (3, 3) and translation (3,) of source (n, 3) onto target (n, 3) (Kabsch 1976)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((target - target_mean).T @ (source - source_mean))
    proper = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation: FloatArray = u @ proper @ vt
    return rotation, target_mean - rotation @ source_mean


def superpose_core(source: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rigid fit on the half of the residues that agrees best.

    A fit is repeated on what the last one left nearest. That settles at different cores from different starts, so each
    of several stretches of the chain is a start, and the core that agrees best wins.
    """
    count = max(3, round(CORE_SHARE * len(source)))
    starts = [part for part in np.array_split(np.arange(len(source)), STARTS) if len(part) >= 3]
    fits = [_settle(source, target, start, count) for start in starts]
    _, rotation, translation = min(fits, key=lambda fit: fit[0])
    return rotation, translation


def _settle(
    source: FloatArray, target: FloatArray, core: npt.NDArray[np.int64], count: int
) -> tuple[float, FloatArray, FloatArray]:
    """Fit on `core`, then on the nearest `count` residues in turn; also the mean square distance of those."""
    for _ in range(ROUNDS):
        rotation, translation = rigid_fit(source[core], target[core])
        square = ((source @ rotation.T + translation - target) ** 2).sum(axis=1)
        nearest = np.sort(np.argsort(square, kind="stable")[:count])
        if np.array_equal(nearest, core):
            break
        core = nearest
    return float(square[nearest].mean()), rotation, translation


def find_moving_domain(
    before: FloatArray, after: FloatArray, chain: npt.NDArray[np.str_], names: str
) -> tuple[BoolArray, Screw]:
    """The largest rigid domain that moves between two superposed models, and its screw.

    The longest stretch of residues that move starts it. Then, in turn: fit a rigid motion to the domain; give to it the
    residues that this motion explains better than staying does, averaged along the chain.

    Parameters
    ----------
    before, after
        (R, 3) residues in both models, superposed on what stays.
    chain
        (R,) chain name of each residue, in order.
    names
        For messages.

    Returns
    -------
    (R,) true for residues of the domain, and its motion.
    """
    stays = np.linalg.norm(after - before, axis=1)
    domain = _longest_stretch(stays > MOVED, chain)
    for _ in range(ROUNDS):
        if domain.sum() < MIN_DOMAIN:
            raise InputError(
                f"Between {names} no domain of {MIN_DOMAIN} residues moves by more than {MOVED:g} angstrom as a rigid body: "
                "give two models that differ by the motion of a domain."
            )
        rotation, translation = rigid_fit(before[domain], after[domain])
        goes = np.linalg.norm(before @ rotation.T + translation - after, axis=1)
        better = _smooth(np.minimum(stays, 2 * MOVED) - np.minimum(goes, 2 * MOVED), chain) > 0
        update = _longest_stretch(better, chain)
        if np.array_equal(update, domain):
            break
        domain = update
    return domain, Screw.from_rigid(rotation, translation)


def _smooth(values: FloatArray, chain: npt.NDArray[np.str_]) -> FloatArray:
    """Moving average along each chain."""
    smooth = np.empty_like(values)
    for name in np.unique(chain):
        members = np.flatnonzero(chain == name)
        window = np.ones(min(WINDOW, len(members)))
        counts = np.convolve(np.ones(len(members)), window, mode="same")
        smooth[members] = np.convolve(values[members], window, mode="same") / counts
    return smooth


def _longest_stretch(chosen: BoolArray, chain: npt.NDArray[np.str_]) -> BoolArray:
    """Keep the stretch of one chain with the most chosen residues; short gaps inside it are filled."""
    index = np.flatnonzero(chosen)
    domain = np.zeros(len(chosen), bool)
    if index.size == 0:
        return domain
    breaks = (chain[index[1:]] != chain[index[:-1]]) | (np.diff(index) > MAX_GAP)
    longest = max(np.split(index, np.flatnonzero(breaks) + 1), key=len)
    domain[longest[0] : longest[-1] + 1] = True
    return domain


def _stretches(pairs: AtomPairs, domain: BoolArray) -> str:
    """The domain as text, such as "B 331-527"."""
    index = np.flatnonzero(domain)
    return f"{pairs.chain[index[0]]} {pairs.number[index[0]]}-{pairs.number[index[-1]]}"


def _read_atoms(path: Path) -> dict[AtomKey, tuple[FloatArray, str]]:
    """Positions and elements of the heavy protein and nucleic acid atoms of a model's first alternative."""
    try:
        import gemmi
    except ImportError as error:
        raise InputError(
            f"{path} cannot be read without gemmi: install it with pip install 'napari-sbackprop[models]'."
        ) from error
    if not path.is_file():
        raise InputError(f"{path} does not exist: give a PDB or mmCIF file.")
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, IndexError, OSError) as error:  # whatever gemmi meets
        raise InputError(
            f"{path} is not a PDB or mmCIF file that can be read ({error}): check the file."
        ) from error
    if len(structure) == 0:
        raise InputError(f"{path} holds no atoms: give a PDB or mmCIF file of an atomic model.")
    structure.remove_hydrogens()
    structure.remove_alternative_conformations()
    return {
        key: atom
        for chain in structure[0]
        for residue in chain
        for key, atom in _residue_atoms(chain.name, residue)
    }


def _residue_atoms(chain: str, residue: "gemmi.Residue") -> list[tuple[AtomKey, tuple[FloatArray, str]]]:
    import gemmi

    kind = gemmi.find_tabulated_residue(residue.name)
    if not (kind.is_amino_acid() or kind.is_nucleic_acid()):
        return []
    number, insertion = int(residue.seqid.num or 0), residue.seqid.icode
    return [
        ((chain, number, insertion, atom.name), (np.array(atom.pos.tolist()), atom.element.name))
        for atom in residue
    ]


def _scattering(elements: npt.NDArray[np.str_]) -> tuple[FloatArray, FloatArray]:
    """Electron scattering weights (A,) at zero angle, and the mean form factor (G, 2), see `Specimen`."""
    import gemmi

    counts = Counter(elements.tolist())
    tables: dict[str, Any] = {name: gemmi.Element(name).c4322 for name in counts}
    strength = {name: float(sum(table.a)) for name, table in tables.items()}
    total = sum(counts[name] * strength[name] for name in counts)
    terms = [
        (counts[name] * a / total, b)
        for name, table in tables.items()
        for a, b in zip(table.a, table.b, strict=True)
    ]
    return np.array([strength[name] for name in elements.tolist()]), np.array(terms)
