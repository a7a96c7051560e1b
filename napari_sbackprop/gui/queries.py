"""The controller of the query line: which particles fulfil conditions. Knows no Qt."""

from functools import partial
from typing import Any

import numpy as np

from napari_sbackprop.analysis.query import Values, parse_query, particle_values
from napari_sbackprop.analysis.selection import SELECTION, ParticleSelection
from napari_sbackprop.gui.explorer_model import ExplorerModel
from napari_sbackprop.gui.latest import Deliver, LatestWorker
from napari_sbackprop.gui.selections import Selections


class Queries:
    """Answers the newest query on a thread of its own.

    Parameters
    ----------
    model : to write.
    selections : get what is to be selected.
    deliver : runs a function on the thread that owns the model.
    """

    def __init__(self, model: ExplorerModel, selections: Selections, deliver: Deliver) -> None:
        self.model = model
        self._selections = selections
        self._worker = LatestWorker(deliver, "sbackprop-queries")
        self._complained = False

    @property
    def names(self) -> list[str]:
        """What a query may name."""
        return sorted(self.values, key=str.lower)

    @property
    def values(self) -> Values:
        """What is known of every particle (N,), by name."""
        model = self.model
        if model.scene is None:
            return {}
        labels = None if model.clustering is None else model.clustering.labels
        columns = {**model.columns.values, **model.qualities}
        return particle_values(model.scene.latents, model.scene.contrast, columns, labels)

    def ask(self, text: str) -> None:
        """Find the particles that a query holds for; none for an empty text."""
        if text.strip() and self.model.scene is not None:
            self._worker.submit(partial(_matching, text, self.values), self._on_matched, self._on_error)
        else:
            self._worker.invalidate()
            self.model.matching = None
            self._withdraw()

    def select(self, text: str) -> None:
        """Select the particles that a query holds for."""
        if text.strip() and self.model.scene is not None:
            self._worker.submit(partial(_matching, text, self.values), self._on_chosen, self._on_error)

    def close(self) -> None:
        """End the thread."""
        self._worker.close()

    def _on_matched(self, found: ParticleSelection) -> None:
        self.model.matching = found
        self._withdraw()

    def _on_chosen(self, found: ParticleSelection) -> None:
        self._on_matched(found)
        clustering = self.model.clustering
        made: dict[str, Any] = {} if clustering is None else clustering.provenance
        self._selections.select(found.indices, {**made, **found.provenance})

    def _on_error(self, error: Exception) -> None:
        self.model.matching = None
        self._complained = True
        self.model.complain(error)

    def _withdraw(self) -> None:
        """Take back what was said about an earlier query, but no other complaint."""
        if self._complained:
            self._complained, self.model.error = False, ""


def _matching(text: str, values: Values) -> ParticleSelection:
    return ParticleSelection(SELECTION, np.flatnonzero(parse_query(text).mask(values)), {"query": text})
