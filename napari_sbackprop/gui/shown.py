"""What the window shows of a run, as a session keeps it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.selection import (
    ADD,
    INTERSECT,
    REPLACE,
    SUBTRACT,
    ParticleSelection,
    checked_indices,
    nearest,
)
from napari_sbackprop.gui.explorer_model import (
    ALONE,
    BLINK,
    CHANGE,
    DIFFERENCE,
    OVERLAY,
    PLAIN,
    SIDE_BY_SIDE,
    SLICE,
    SURFACE,
    VARIABILITY,
    VOLUME,
    ExplorerModel,
    Scene,
)
from napari_sbackprop.gui.projection import NEIGHBOURS, Anchor
from napari_sbackprop.gui.session import State, numbers, packed, unpacked
from napari_sbackprop.gui.subject import Place, Pooled, Subject, consensus

COMPARISONS = (ALONE, OVERLAY, DIFFERENCE, SIDE_BY_SIDE, BLINK)
_CHOICES = {
    "renderer": (SURFACE, VOLUME, SLICE),
    "colouring": (PLAIN, CHANGE, VARIABILITY),
    "slice_axis": (0, 1, 2),
    "combining": (REPLACE, ADD, SUBTRACT, INTERSECT),
}
_NUMBERS = ("contour", "difference_contour", "smoothing", "slice_offset")
MOST_SMOOTHING = 4.0  # voxels


class Settings:
    """The fields of a model that are settings, as a part of a session."""

    def __init__(self, model: ExplorerModel) -> None:
        self._model = model

    def state(self) -> State:
        """The settings by name."""
        return {name: getattr(self._model, name) for name in ("colour", *_CHOICES, *_NUMBERS)}

    def restore(self, state: State) -> None:
        """Have them again."""
        for name, choices in _CHOICES.items():
            setattr(self._model, name, choices[choices.index(state[name])])
        values = numbers([state[name] for name in _NUMBERS], np.float64).tolist()
        if not 0 <= state["smoothing"] <= MOST_SMOOTHING:
            raise ValueError(f"a width of {state['smoothing']:g} voxels")
        for name, value in zip(_NUMBERS, values, strict=True):
            setattr(self._model, name, value)
        self._model.colour = str(state["colour"])


def selection_state(selection: ParticleSelection | None) -> State:
    """A selection for a file; empty for none."""
    if selection is None:
        return {}
    return {
        "name": selection.name,
        "particles": packed(selection.indices),
        "provenance": selection.provenance,
    }


def stored_selection(state: Mapping[str, Any], count: int) -> ParticleSelection | None:
    """The selection of a state, among N = `count` particles."""
    if not state:
        return None
    indices = checked_indices(unpacked(state["particles"]), count, "the selection")
    return ParticleSelection(str(state["name"]), indices, dict(state["provenance"]))


def subject_state(subject: Subject | None, scene: Scene) -> State:
    """What a map shows, for a file; empty for what no decoder makes, such as a reconstruction."""
    if subject is consensus:
        return {"shows": "consensus"}
    if isinstance(subject, Pooled):
        return {"shows": "particles", **selection_state(subject.selection)}
    if isinstance(subject, Place):
        return {"shows": "place", **_place_state(subject, scene)}
    return {}


def stored_subject(state: Mapping[str, Any], scene: Scene) -> Subject | None:
    """The subject of a state, among the particles of a scene."""
    state = dict(state)
    if state.get("shows") == "consensus":
        return consensus
    if state.get("shows") == "particles" and (selection := stored_selection(state, scene.count)) is not None:
        return Pooled(selection)
    return _stored_place(state, scene) if state.get("shows") == "place" else None


def _place_state(place: Place, scene: Scene) -> State:
    anchor, epoch, latent = place.anchor, place.epoch, place.latent
    if len(anchor.indices) > 4 * NEIGHBOURS:  # a component's, which all particles have a part in
        epoch, latent = scene.epoch, anchor.mean(scene.latents)
        near = scene.sample[nearest(scene.latents[scene.sample], latent, NEIGHBOURS)]
        anchor = Anchor(near, np.full(len(near), 1 / len(near)), anchor.remoteness)
    return {
        "title": place.title,
        "particles": anchor.indices.tolist(),
        "weights": anchor.weights.tolist(),
        "remoteness": anchor.remoteness,
        "epoch": epoch,
        "latent": None if latent is None else latent.tolist(),
        "coefficients": None if place.coefficients is None else place.coefficients.tolist(),
    }


def _stored_place(state: Mapping[str, Any], scene: Scene) -> Place:
    particles, weights = np.array(state["particles"], np.int64), numbers(state["weights"], np.float64)
    if particles.shape != weights.shape or not len(particles):
        raise ValueError(f"{len(particles)} particles with {len(weights)} weights")
    if particles.min() < 0 or particles.max() >= scene.count:
        raise ValueError(f"it names particle {particles.max()} of {scene.count}")
    here = state["epoch"] == scene.epoch
    latent, coefficients = (state[name] if here else None for name in ("latent", "coefficients"))
    return Place(
        Anchor(particles, weights, float(state["remoteness"])),
        str(state["title"]),
        state["epoch"],
        None if latent is None else _row(latent, scene.latents.shape[1]),
        None if coefficients is None else _row(coefficients, len(scene.decoder.basis)),
    )


def _row(values: Any, count: int) -> npt.NDArray[np.float32]:
    if len(row := numbers(values, np.float32)) != count:
        raise ValueError(f"{len(row)} numbers instead of {count}")
    return row
