"""Options of a run: one definition gives command-line flags, the form in napari and config.json."""

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from napari_sbackprop.errors import InputError

RECIPES = ("default", "paper")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "bfloat16")
MOST_THREADS = 1024
"""CPU threads; some ten thousand bring the system down."""
_ANGSTROM = "a positive number of angstrom"
_POSITIVE = {"resolution": _ANGSTROM, "mask_diameter": _ANGSTROM, "learning_rate": "a positive number"}


def _option(default: Any, help: str, resumable: bool = False) -> Any:
    return field(default=default, metadata={"help": help, "resumable": resumable})


@dataclass(frozen=True)
class Config:
    """Everything that decides a training run, apart from its data.

    Raises
    ------
    InputError
        A value out of its range; the sentence names the option.
    """

    recipe: str = _option(
        "default", "default: closed-form start, then the VAE; paper: eqs. 3-5 with the original's settings"
    )
    latent_size: int = _option(
        16, "Z, dimensions of the latent space; the default recipe drops those that stay empty"
    )
    basis_size: int = _option(16, "K, basis volumes; at least the latent size in the default recipe")
    epochs: int = _option(
        4, "passes of the VAE over the particles; the closed-form start comes before them", resumable=True
    )
    batch_size: int = _option(256, "particles per step of the VAE", resumable=True)
    learning_rate: float | None = _option(
        None,
        "learning rate of the networks, in the paper's recipe of the volumes too; by default 0.001, there 0.0001",
        resumable=True,
    )
    resolution: float | None = _option(
        None, "finest resolution used, in angstrom; by default just below Nyquist"
    )
    mask_diameter: float | None = _option(
        None, "diameter of the particle in angstrom; by default 85 % of the box"
    )
    mask: Path | None = _option(None, "solvent mask (MRC); by default made from the consensus map")
    reference: Path | None = _option(
        None, "consensus map (MRC) to start from; by default back-projected from the images"
    )
    encoder_width: int = _option(256, "width of the encoder's hidden layers")
    kl_weight: float = _option(
        1.0, "weight of the KL divergence; 1 is the evidence lower bound", resumable=True
    )
    refine_poses: bool = _option(False, "correct each particle's pose and shift while the volumes form")
    refine_ctf: bool = _option(False, "correct each particle's defocus while the volumes form")
    held_out: float = _option(0.05, "share of the particles left out of training to show overfitting")
    device: str = _option("auto", "auto, cpu or cuda", resumable=True)
    precision: str = _option(
        "float32",
        "float32 or bfloat16, of the volumes as steps of the VAE read them: bfloat16 is meant to be faster on a GPU, and "
        "gains nothing on a CPU; scores were the same, and the stored volumes stay float32",
        resumable=True,
    )
    deterministic: bool = _option(
        False,
        "make repeated runs identical to the last bit, with any number of threads and on a GPU; slower",
        resumable=True,
    )
    threads: int = _option(0, "CPU threads; 0 takes all cores", resumable=True)
    seed: int = _option(0, "seed of every random number")

    def __post_init__(self) -> None:
        _require(self.recipe in RECIPES, "recipe", self.recipe, "one of " + ", ".join(RECIPES))
        _require(self.device in DEVICES, "device", self.device, "one of " + ", ".join(DEVICES))
        precisions = "one of " + ", ".join(PRECISIONS)
        _require(self.precision in PRECISIONS, "precision", self.precision, precisions)
        for name in ("latent_size", "basis_size", "batch_size", "encoder_width"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.epochs >= 0, "epochs", self.epochs, "0 or more")
        _require(0 <= self.threads <= MOST_THREADS, "threads", self.threads, f"from 0 to {MOST_THREADS}")
        _require(0 <= self.kl_weight < math.inf, "kl_weight", self.kl_weight, "0 or more, and finite")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "0 or more, and below 2^63")
        _require(
            self.recipe == "default" or self.epochs > 0, "epochs", self.epochs, "at least 1 in this recipe"
        )
        _require(0 <= self.held_out < 0.5, "held_out", self.held_out, "between 0 and 0.5")
        for name, wanted in _POSITIVE.items():
            value = getattr(self, name)
            _require(value is None or 0 < value < math.inf, name, value, wanted)
        for name in ("refine_poses", "refine_ctf"):
            _require(
                self.recipe == "default" or not getattr(self, name), name, "on", "off in the paper's recipe"
            )
        _require(
            self.recipe == "default" or self.reference is None,
            "reference",
            self.reference,
            "left out in the paper's recipe, which starts from nothing",
        )
        _require(
            self.recipe == "default" or self.precision == "float32",
            "precision",
            self.precision,
            "float32 in the paper's recipe",
        )
        if self.recipe == "default":
            _require(
                self.basis_size >= self.latent_size,
                "basis_size",
                self.basis_size,
                f"at least the latent size, {self.latent_size}",
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_json`; an unknown key is refused."""
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InputError(
                f"config.json has the unknown option {unknown[0]!r}: it was written by another version."
            )
        values = dict(values)
        for name in ("mask", "reference"):
            if values.get(name) is not None:
                values[name] = Path(values[name])
        return cls(**values)


RESUMABLE = frozenset(item.name for item in fields(Config) if item.metadata["resumable"])
"""Options that may change when a run goes on; what its model is made of cannot."""


def _require(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise InputError(f"--{name.replace('_', '-')} is {value}, but must be {wanted}.")
