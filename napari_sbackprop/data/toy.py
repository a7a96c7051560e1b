"""The sample complex: made-up domains filled with helices, which swing, turn around, or come and go.

No coordinate and no statistic of any real structure is in here: ellipsoids were laid out by hand and are filled with
straight helices of beads from a fixed seed, so every installation makes the same complex.
"""

from dataclasses import dataclass

import numpy as np

from napari_sbackprop.data.specimen import Arrangement, FloatArray, Screw, Specimen, centre, rotation_about

SEED = 20220
BEAD_SIGMA = 1.6
"""Standard deviation of a bead, angstrom."""
RESIDUE_VOLUME = 135.0
"""Angstrom^3 per residue of a filled domain, as in protein."""
RESIDUES_PER_HELIX = 10
DISTANCES = (9.5, 8.0, 6.5)
"""Smallest distance of helix centres, angstrom; the next one is taken when filling stalls."""
STALL = 400
"""Failed draws in a row that count as stalled."""

SWING = Screw(axis=np.array([0.6, -0.8, 0.0]), point=np.array([5.0, 3.5, 50.0]), angle=60.0, advance=4.0)
"""Motion of the arm from the first to the last state."""
CIRCLE = Screw(axis=np.array([0.0, 0.0, 1.0]), point=np.array([36.0, 27.0, 50.0]), angle=360.0, advance=0.0)
"""Motion of the arm around a full circle; the state after the last is the first."""
MOTIONS = ("swing", "circle", "composition")
"""The arm swings open; the arm goes round; or the arm rests, and the states have different parts."""


@dataclass(frozen=True)
class Domain:
    """An ellipsoid: centre and semi-axes in angstrom, turned by `turn` degrees about z."""

    name: str
    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    turn: float = 0.0


DOMAINS = (
    Domain("foot a", (-32, -22, -50), (24, 19, 22), 20),
    Domain("foot b", (22, -30, -46), (22, 18, 25), 75),
    Domain("foot c", (4, 30, -50), (26, 18, 19), 140),
    Domain("trunk low", (-4, -2, -20), (29, 25, 20), 10),
    Domain("trunk high", (-4, 6, 14), (25, 23, 19), 50),
    Domain("left shoulder", (-42, 4, 18), (20, 18, 24), 30),
    Domain("right shoulder", (36, -16, 4), (19, 23, 18), 110),
    Domain("back", (2, 44, 4), (23, 16, 20), 160),
    Domain("crown", (-22, -14, 46), (21, 18, 17), 85),
    Domain("tail", (44, 30, -22), (17, 15, 22), 40),
    Domain("subunit", (-42, -40, -8), (19, 17, 16), 15),
    Domain("arm", (20.7, 15.3, 50), (30, 22, 20), 37),
)
ARM, SUBUNIT = "arm", "subunit"
PARTS = (SUBUNIT, "tail", "crown", "back")
"""Parts that come and go in a composition: state i has part k where bit k of i is set."""


def toy_complex(states: int, motion: str = "swing") -> Specimen:
    """The sample complex in `states` states of one of the `MOTIONS`: evenly spaced on the way, or up to 16 compositions."""
    beads, owner = _fill(np.random.default_rng(SEED))
    names = np.array([domain.name for domain in DOMAINS])[owner]
    positions = np.repeat(beads[None], states, axis=0)
    occupied = np.ones((states, len(beads)), bool)
    facts: dict[str, object]
    arrangement: Arrangement
    if motion == "composition":
        bits = np.arange(states)[:, None] >> np.arange(len(PARTS)) & 1
        for part, present in zip(PARTS, bits.T, strict=True):
            occupied[:, names == part] = present[:, None]
        moving, optional, arrangement = np.isin(names, PARTS), np.zeros(len(beads), bool), "none"
        middle, facts = centre(positions), {"parts": list(PARTS)}
    else:
        screw = SWING if motion == "swing" else CIRCLE
        moving, optional, arrangement = names == ARM, names == SUBUNIT, "line" if screw is SWING else "ring"
        for state, fraction in enumerate(np.linspace(0, 1, states, endpoint=screw is SWING)):
            positions[state, moving] = screw.apply(beads[moving], float(fraction))
        middle = centre(positions)
        facts = screw.moved(-middle).facts()
    return Specimen(
        name="procedural complex of twelve domains",
        positions=positions - middle,
        weights=np.ones(len(beads)),
        form_factor=np.array([[1.0, 8 * np.pi**2 * BEAD_SIGMA**2]]),
        moving=moving,
        optional=optional,
        occupied=occupied,
        arrangement=arrangement,
        motion=facts,
    )


def _fill(random: np.random.Generator) -> tuple[FloatArray, np.ndarray]:
    """Beads (A, 3) of all domains in the first state, and the index of each bead's domain (A,)."""
    centres = np.empty((0, 3))
    owner: list[int] = []
    for index, domain in enumerate(DOMAINS):
        volume = 4 / 3 * np.pi * np.prod(domain.semi_axes)
        helices = round(volume / (RESIDUE_VOLUME * RESIDUES_PER_HELIX))
        centres = _add_centres(centres, domain, helices, random)
        owner += [index] * helices
    beads = np.concatenate([_helix(centre, random) for centre in centres])
    return beads, np.repeat(owner, 2 * RESIDUES_PER_HELIX)


def _add_centres(centres: FloatArray, domain: Domain, count: int, random: np.random.Generator) -> FloatArray:
    """Append `count` helix centres, uniform in 0.85 of the ellipsoid and apart from all centres so far."""
    turn = rotation_about(np.array([0.0, 0.0, 1.0]), domain.turn)
    wanted = len(centres) + count
    for distance in (*DISTANCES, 0.0):
        misses = 0
        while misses < STALL and len(centres) < wanted:
            direction = random.standard_normal(3)
            point = 0.85 * random.uniform() ** (1 / 3) * direction / np.linalg.norm(direction)
            point = turn @ (point * domain.semi_axes) + domain.centre
            if len(centres) and ((centres - point) ** 2).sum(axis=1).min() < distance**2:
                misses += 1
            else:
                misses, centres = 0, np.concatenate((centres, point[None]))
    return centres


def _helix(centre: FloatArray, random: np.random.Generator) -> FloatArray:
    """Beads (20, 3) of a straight helix: per residue one at 2 and one at 5 angstrom from the axis, 1.5 angstrom rise."""
    axis, across = np.linalg.qr(random.standard_normal((3, 2)))[0].T
    other = np.cross(axis, across)
    residue = np.arange(RESIDUES_PER_HELIX)
    angle = np.radians(100 * residue + random.uniform(0, 360))
    rise = 1.5 * (residue - residue.mean())[:, None] * axis
    outward = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * other
    return np.concatenate([centre + rise + radius * outward for radius in (2.0, 5.0)])
