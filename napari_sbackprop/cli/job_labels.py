"""What RELION hands an External job: `--label value` pairs, where an empty value leaves the bare label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, cast, get_args

from napari_sbackprop.cli.options import checked_method
from napari_sbackprop.config import Config
from napari_sbackprop.data.path_map import PathMap, parse_path_map
from napari_sbackprop.errors import InputError

_RELIONS_NAMES = {
    "o": "output",
    "in_parts": "particles",
    "in_mask": "mask",
    "in_3dref": "reference",
    "j": "threads",
}
_IGNORED = "pipeline_control"  # RELION adds it to commands that it takes for its own

Convert = Callable[[str], Any]


@dataclass(frozen=True)
class JobOptions:
    """What a job is to do.

    Attributes
    ----------
    output : folder of the job.
    particles : STAR file.
    config : options of the training.
    classes : number of k-means clusters to export.
    min_contrast : least contrast of a good particle.
    method : of the embedding, umap or pca.
    path_map : folders of images that moved.
    """

    output: Path
    particles: Path
    config: Config
    classes: int = 10
    min_contrast: float = 0.5
    method: str = "umap"
    path_map: PathMap = ()

    def __post_init__(self) -> None:
        checked_method(self.method)
        if self.classes < 1:
            raise InputError(f"--classes is {self.classes}, but must be at least 1.")

    @classmethod
    def from_labels(cls, labels: dict[str, list[str]]) -> Self:
        """Options from labels; one without a value keeps its default.

        Raises
        ------
        InputError
            A label is unknown or its value is no such number, or the particles are missing.
        """
        values = {_RELIONS_NAMES.get(label, label): words for label, words in labels.items() if words}
        path_map = parse_path_map(values.pop("path_map", []))
        values.pop(_IGNORED, None)
        kinds = _kinds()
        for name in labels:
            if _RELIONS_NAMES.get(name, name) not in kinds and name not in ("path_map", _IGNORED):
                raise InputError(
                    f"--{name} is no label of this job: take one of {', '.join(sorted(_labels()))}."
                )
        if "particles" not in values:
            raise InputError(
                "The job has no input particles (--in_parts): choose them in the External job's tab."
            )
        typed = {name: _converted(name, " ".join(words), kinds[name]) for name, words in values.items()}
        options = {field.name for field in fields(Config)}
        config = Config(**{name: value for name, value in typed.items() if name in options})
        return cls(
            config=config,
            path_map=path_map,
            **{name: value for name, value in typed.items() if name not in options},
        )


def read_labels(words: Sequence[str]) -> dict[str, list[str]]:
    """The words behind each `--label`; a dash in a label counts as an underscore."""
    labels: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            label = word.removeprefix("--").replace("-", "_")
            labels.setdefault(label, [])
        elif not labels:
            raise InputError(f"{word!r} stands without a label: give --label value pairs, as RELION does.")
        else:
            labels[label].append(word)
    return labels


def _kinds() -> dict[str, Convert]:
    own: dict[str, Convert] = {
        "output": Path,
        "particles": Path,
        "classes": int,
        "min_contrast": float,
        "method": str,
    }
    for field in fields(Config):
        own[field.name] = next(
            iter(get_args(field.type)), cast(Convert, field.type)
        )  # of `float | None` the first
    return own


def _labels() -> set[str]:
    renamed = {name: label for label, name in _RELIONS_NAMES.items()}
    return {renamed.get(name, name) for name in (*_kinds(), "path_map")}


def _converted(name: str, text: str, kind: Convert) -> Any:
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise InputError(
            f"--{name} is {text!r}, but must be {wanted}: correct the job's parameter."
        ) from None
