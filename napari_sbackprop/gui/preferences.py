"""What people prefer in all windows, kept in their configuration folder. Knows no Qt."""

import json
import logging
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from napari_sbackprop.config import DEVICES
from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.explorer_model import SLICE, SURFACE, VOLUME

logger = logging.getLogger(__name__)

FITTING = "fitting"
"""Renderer: a volume where a GPU draws, else a surface."""
CHOICES = {
    "device": DEVICES,
    "renderer": (FITTING, SURFACE, VOLUME, SLICE),
    "reopening": (True, False),
}


@dataclass
class Preferences:
    """Defaults of every window.

    Attributes
    ----------
    device : where trainings compute, one of `config.DEVICES`.
    renderer : how the first map of a run is drawn, FITTING, SURFACE, VOLUME or SLICE.
    reopening : whether a run comes back as it was left.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    device: str = "auto"
    renderer: str = FITTING
    reopening: bool = True


@cache
def preferences() -> Preferences:
    """Those of this program: all windows share them, and each change is stored."""
    known = _stored()
    known.events.connect(lambda _: _store(known))
    return known


def preferences_path() -> Path:
    """The file that keeps them."""
    from platformdirs import user_config_path

    return user_config_path("napari-sbackprop") / "preferences.json"


def _stored() -> Preferences:
    """What the file says, as far as it can be understood."""
    path, found = preferences_path(), Preferences()
    try:
        document = json.loads(path.read_bytes())
        for name, choices in CHOICES.items():
            if name in document:
                setattr(found, name, choices[choices.index(document[name])])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be read in full (%s): defaults stand for the rest", path, error)
    return found


def _store(known: Preferences) -> None:
    path = preferences_path()
    values = {item.name: getattr(known, item.name) for item in fields(known)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps(values, indent=2) + "\n")
    except (InputError, OSError) as error:
        logger.warning("preferences last as long as the program: %s", error)
