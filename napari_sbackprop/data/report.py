"""The report of a check: what a file is, what was understood, and what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_UNITS = {
    "box": "px",
    "pixel_size": "Å",
    "voltage": "kV",
    "spherical_aberration": "mm",
    "defocus": "Å",
    "beam_tilt": "mrad",
}
_MOST_SHOWN = 12  # items of a list; a data set may have hundreds of optics groups
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes
    ----------
    path : the file.
    kind : one word: particles, optimiser, stack, map, model, cryosparc, pickle ...
    facts : plain values by name, in the order to show; None is unknown, names of sizes end in `_bytes`.
    warnings : sentences about what was assumed or is ignored.
    errors : sentences about what prevents training; none means that `train` will accept the file.
    """

    path: Path
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """Report for a reader: facts in a column, then problems."""
        names = {name: name.removesuffix("_bytes").replace("_", " ") for name in self.facts}
        width = max((len(name) for name in names.values()), default=0) + 2
        return [
            f"{self.path}: {self.kind}",
            *(f"  {names[name]:<{width}}{_readable(name, value)}" for name, value in self.facts.items()),
            *(f"  warning: {sentence}" for sentence in self.warnings),
            *(f"  error: {sentence}" for sentence in self.errors),
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _readable(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_readable(key, item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        joint = "; " if any(isinstance(item, Mapping) for item in value) else ", "
        shown = [_readable(name, item) for item in value[:_MOST_SHOWN]]
        if len(value) > _MOST_SHOWN:
            shown.append(f"... ({len(value)} in all)")
        return joint.join(shown) or "none"
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes"):
        scale, unit = next((item for item in _SIZES if value >= item[0]), _SIZES[-1])
        return f"{value / scale:.3g} {unit}"
    unit = f" {_UNITS[name]}" if name in _UNITS else ""
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:.5g}" if isinstance(value, float) else value
    ) + unit
