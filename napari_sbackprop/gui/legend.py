"""What the colours of the scatter mean."""

from html import escape

from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_sbackprop.gui.point_colours import PointColours, colour_map_steps

_STEPS = 24
_LONGEST_NAME = 40


class Legend(QLabel):
    """A colour bar with its ends, or the classes with their colours, in as many lines as they need."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTip("What the colours of the particles mean; white marks the selection.")
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)

    def show_colours(self, colours: PointColours) -> None:
        """Explain `colours`."""
        if colours.classes:
            self.setText(" &nbsp; ".join(f"{_dot(colour)}{_short(name)}" for name, colour in colours.classes))
        else:
            bar = "".join(
                f"<span style='color:{colour}'>&#9608;</span>" for colour in colour_map_steps(_STEPS)
            )
            self.setText(f"{escape(colours.low)} &nbsp;{bar}&nbsp; {escape(colours.high)}")


def _dot(colour: str) -> str:
    return f"<span style='color:{colour}'>&#9679;</span>&nbsp;" if colour else ""


def _short(name: str) -> str:
    """A name that does not break, as HTML; the end of a long one, where names of files differ."""
    tail = name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :]
    return escape(tail).replace(" ", "&nbsp;")
