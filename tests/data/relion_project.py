"""A small RELION project to read from, and to spoil; and arrays that other programs pickled."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Table = dict[str, list[object]]


@dataclass
class Project:
    """A project folder with a stack of four 8 x 8 images, and writers of STAR files that list them."""

    folder: Path

    def particles(self) -> Table:
        """Columns of four particles as RELION 3.1 has them."""
        return {
            "rlnImageName": [f"{number:06d}@Extract/images.mrcs" for number in (1, 2, 3, 4)],
            "rlnAngleRot": [0.0, 10.0, 20.0, -30.0],
            "rlnAngleTilt": [90.0, 80.0, 70.0, 60.0],
            "rlnAnglePsi": [1.0, 2.0, 3.0, 4.0],
            "rlnOriginXAngst": [2.0, -2.0, 4.0, 0.0],
            "rlnOriginYAngst": [0.0, 1.0, 0.0, -1.0],
            "rlnDefocusU": [10000.0, 11000.0, 12000.0, 13000.0],
            "rlnDefocusV": [9000.0, 10000.0, 11000.0, 12000.0],
            "rlnDefocusAngle": [5.0, 15.0, 25.0, 35.0],
            "rlnRandomSubset": [1, 2, 1, 2],
            "rlnOpticsGroup": [1, 1, 1, 1],
        }

    def optics(self, groups: int = 1) -> Table:
        """Columns of an optics table with `groups` equal groups."""
        return {
            "rlnOpticsGroup": list(range(1, groups + 1)),
            "rlnOpticsGroupName": [f"group{number}" for number in range(1, groups + 1)],
            "rlnVoltage": [300.0] * groups,
            "rlnSphericalAberration": [2.7] * groups,
            "rlnAmplitudeContrast": [0.1] * groups,
            "rlnImagePixelSize": [2.0] * groups,
            "rlnImageSize": [8] * groups,
        }

    def write(
        self, particles: Table, optics: Table | None, name: str = "Refine3D/job001/run_data.star"
    ) -> Path:
        """Write a STAR file with the two tables."""
        blocks = {"optics": optics, "particles": particles} if optics else {"images": particles}
        return self.write_text("\n".join(f"\n{format_block(*block)}" for block in blocks.items()), name)

    def write_text(self, text: str, name: str = "Refine3D/job001/run_data.star") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path


def format_block(name: str, columns: Mapping[str, Sequence[object]]) -> str:
    """Text of a table block."""
    head = "\n".join(f"_{label} #{number}" for number, label in enumerate(columns, 1))
    rows = "\n".join(" ".join(str(value) for value in row) for row in zip(*columns.values(), strict=True))
    return f"# version 30001\n\ndata_{name}\n\nloop_ \n{head}\n{rows}\n"


def load_arrays(path: Path) -> Any:
    """Read a pickle of numpy arrays, and of nothing else."""

    class Arrays(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module.startswith("numpy") and name in ("_reconstruct", "ndarray", "dtype"):
                return super().find_class(module, name)
            raise pickle.UnpicklingError(f"{module}.{name} is no array")

    with path.open("rb") as file:
        return Arrays(file).load()
