"""What the colours of the scatter mean."""

from html import escape

from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_sbackprop.gui.point_colours import PointColours, colour_map_steps

_STEPS = 24
_MOST_NAMED = 8


class Legend(QLabel):
    """One line of rich text: a colour bar with its ends, or the classes with their colours."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTip("What the colours of the particles mean; white marks the selection.")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_colours(self, colours: PointColours) -> None:
        """Explain `colours`."""
        if colours.classes:
            shown = colours.classes[:_MOST_NAMED]
            parts = [
                f"<span style='color:{colour}'>&#9679;</span>&nbsp;{escape(name)}" for name, colour in shown
            ]
            if len(colours.classes) > _MOST_NAMED:
                parts.append("…")
            self.setText(" &nbsp; ".join(parts))
        else:
            bar = "".join(
                f"<span style='color:{colour}'>&#9608;</span>" for colour in colour_map_steps(_STEPS)
            )
            self.setText(f"{escape(colours.low)} &nbsp;{bar}&nbsp; {escape(colours.high)}")
