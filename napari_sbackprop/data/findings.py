"""What reading a particle file brought up: reading raises the first error, a check lists all."""

from dataclasses import dataclass, field
from pathlib import Path

from napari_sbackprop.errors import InputError


@dataclass
class Findings:
    """Sentences about one file.

    Attributes
    ----------
    path : the file; every sentence starts with it.
    errors : what prevents training.
    warnings : what was assumed or is ignored.
    """

    path: Path
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, rest: str) -> None:
        """Note an error; `rest` continues the file's name, starting with a space, a comma or a colon."""
        self.errors.append(f"{self.path}{rest}")

    def warn(self, rest: str) -> None:
        """Note a warning, as `error` does."""
        self.warnings.append(f"{self.path}{rest}")

    def raise_first(self) -> None:
        """Raise the first error, if there is any."""
        if self.errors:
            raise InputError(self.errors[0])
