"""The schedule of the auto-encoder's volumes."""

import numpy as np
import pytest

from napari_sbackprop.training.variational import relative_step


@pytest.mark.parametrize("epochs", [1, 4, 500])
def test_volumes_become_means_over_more_and_more_epochs(epochs):
    steps = [relative_step(done, epochs) for done in np.arange(0, 40, 0.25)]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] == 2
    settled = min(epochs, 4)
    assert relative_step(settled, epochs) == pytest.approx(0.25)
    assert relative_step(10 * settled, epochs) == pytest.approx(0.025)
