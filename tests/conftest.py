"""Fixtures that every part of the test suite may use."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repository", deadline=None)  # a busy machine is no fault
settings.register_profile("thousand", deadline=None, max_examples=1000)  # --hypothesis-profile=thousand
settings.load_profile("repository")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public sample files; it is not part of the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of shared sample data is not here")
    return folder
