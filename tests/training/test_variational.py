"""The schedule of the auto-encoder's volumes."""

import pytest

from napari_sbackprop.training.variational import relative_step


def test_volumes_are_means_over_all_epochs():
    mean, parts = 0.0, 1000
    for part in range(5 * parts):  # the volumes that the data ask for are 1, 2, 3, 4, 5 in five epochs
        wanted = part // parts + 1
        mean += relative_step(part / parts) / parts * (wanted - mean)
    assert mean == pytest.approx((1 + 2 + 3 + 4 + 5) / 5.5, rel=1e-3)
