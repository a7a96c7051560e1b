"""The run directory: the contract between training, exploration and the command line.

Training publishes complete epochs, exploration only reads. A folder gets its final name when everything in it is
written, so a reader never sees half an epoch, and latents, decoder and embedding always come from one epoch.

    config.json                 options, versions, command, folders of images that moved
    particles.star              the particles' STAR file, verbatim: data row i is particle i for ever
    particles.cs ...            where they came from another program: its files, verbatim; particles.star is then ours
    epochs/0005/                model.safetensors, latents.npz, epoch.json, embedding_umap.npz ...
                                clusters.npz where another program had made clusters
    resume.safetensors          optimiser and generator state behind the newest epoch
    metrics.csv, run.log
    session.json                what the explorer had on screen
    selections/NAME.star/.json  exported selections
    selections/sets.npz         sets of particles that were kept, with their names and colours
    volumes/NAME.mrc/.json
"""

import csv
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_sbackprop.config import Config
from napari_sbackprop.errors import InputError

FORMAT_VERSION = 1

_LATENT_ARRAYS = ("mean", "log_variance", "information", "contrast", "scale")  # in latents.npz


@dataclass(frozen=True)
class Latents:
    """Where each particle lies in the latent space, as of one epoch.

    Attributes
    ----------
    mean : (N, Z) float32, posterior mean.
    log_variance : (N, Z) float32, of the diagonal of the posterior.
    information : (N, Z, Z) float32, precision that the image alone adds to the unit prior; what pooling needs.
    contrast : (N,) float32, scale of the consensus in each image, near 0 without a particle; NaN where not measured.
    epoch : number of the epoch.
    scale : (N,) float32, of each particle's own map in its image; None where all are 1.
    """

    mean: npt.NDArray[np.float32]
    log_variance: npt.NDArray[np.float32]
    information: npt.NDArray[np.float32]
    contrast: npt.NDArray[np.float32]
    epoch: int
    scale: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Embedding:
    """Two-dimensional map of the latents of one epoch: coordinates (N, 2), method ("umap" or "pca"), parameters."""

    coordinates: npt.NDArray[np.float32]
    method: str
    parameters: dict[str, Any]
    epoch: int


class RunDirectory:
    """Every path of a run. Open an existing run with `RunDirectory(path)`, make a new one with `create`."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.config_path.is_file():
            raise InputError(
                f"{self.path} is not a run directory: it has no config.json; give the folder that train made."
            )

    @classmethod
    def create(
        cls,
        path: Path,
        source: Path,
        config: Config,
        provenance: Mapping[str, Any],
        star: bytes | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> Self:
        """Make a new run directory; refuse an existing one.

        Parameters
        ----------
        source : the file that the user named.
        star : content of particles.star; by default `source` is a STAR file, which is copied.
        files : files to copy, by the name they get.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(
                f"{path} exists and is not empty: choose another run directory, or continue it with --resume."
            )
        path.mkdir(parents=True, exist_ok=True)
        files = {"particles.star": source} if files is None else files
        try:
            for name, file in files.items():
                shutil.copyfile(file, path / name)
            if star is not None:
                (path / "particles.star").write_bytes(star)
        except OSError:
            shutil.rmtree(path)  # it was empty
            raise
        document = {
            "format": FORMAT_VERSION,
            "source": str(Path(source).absolute()),  # not where a link leads: images lie beside the link
            "files": {name: str(Path(file).absolute()) for name, file in files.items()},
            "options": config.to_json(),
            **provenance,
        }
        # config.json comes last: it is what makes the folder a run.
        with _replacing(path / "config.json") as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n")
        return cls(path)

    def store_options(self, config: Config, path_map: Sequence[tuple[str, str]]) -> None:
        """Replace the options in config.json, when a resumed run gets more epochs or its images have moved."""
        document = {**self.document, "options": config.to_json(), "path_map": path_map}
        with _replacing(self.config_path) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n")

    def discard(self) -> None:
        """Remove a run that has no epoch yet: what `create` and the log wrote, and nothing else."""
        if self.epochs():
            return
        copies = (self.path / name for name in self.files)
        for path in (self.log_path, self.star_path, *copies, self.config_path):
            path.unlink(missing_ok=True)
        for folder in (self.path / "epochs", self.path):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    @property
    def config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def star_path(self) -> Path:
        return self.path / "particles.star"

    @property
    def cryosparc_path(self) -> Path:
        """Copy of the .cs file that the run was started from, if it was."""
        return self.path / "particles.cs"

    @property
    def passthrough_paths(self) -> tuple[Path, ...]:
        """Copies of the passthrough files that belong to the .cs file."""
        return tuple(self.path / name for name in self.files if name.startswith("passthrough"))

    @property
    def log_path(self) -> Path:
        return self.path / "run.log"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def resume_path(self) -> Path:
        return self.path / "resume.safetensors"

    def selection_path(self, name: str) -> Path:
        return self.path / "selections" / f"{name}.star"

    @property
    def session_path(self) -> Path:
        return self.path / "session.json"

    @property
    def sets_path(self) -> Path:
        return self.path / "selections" / "sets.npz"

    def volume_path(self, name: str) -> Path:
        return self.path / "volumes" / f"{name}.mrc"

    def epoch_path(self, epoch: int) -> Path:
        return self.path / "epochs" / f"{epoch:04d}"

    def clusters_path(self, epoch: int) -> Path:
        return self.epoch_path(epoch) / "clusters.npz"

    def has_model(self, epoch: int) -> bool:
        """Whether an epoch decodes maps; one taken over from another program may hold latents alone."""
        return (self.epoch_path(epoch) / "model.safetensors").is_file()

    @property
    def document(self) -> dict[str, Any]:
        """config.json as it stands."""
        values = _read_json(self.config_path)
        if values.get("format") != FORMAT_VERSION:
            raise InputError(
                f"{self.config_path} has format {values.get('format')}, but this version reads {FORMAT_VERSION}: "
                "open the run with the version that wrote it."
            )
        return values

    @property
    def config(self) -> Config:
        return Config.from_json(self.document["options"])

    @property
    def source(self) -> Path:
        """The file that the run was started from, as an absolute path; image paths are relative to its project."""
        return Path(self.document["source"])

    @property
    def path_map(self) -> tuple[tuple[str, str], ...]:
        """Folders of images that had moved when the run was started, or continued."""
        return tuple((old, new) for old, new in self.document.get("path_map", ()))

    @property
    def files(self) -> dict[str, Path]:
        """The files that the run was started from and keeps copies of, as absolute paths, by the copy's name."""
        document = self.document
        files = document.get("files", {"particles.star": document["source"]})
        return {name: Path(path) for name, path in files.items()}

    def changed_file(self, source: Path | None = None) -> Path | None:
        """One of `files` that is gone or differs from the run's copy, if any; `source` stands for the run's source."""
        for name, path in self.files.items():
            path = source if source is not None and path == self.source else path
            if not path.is_file() or path.read_bytes() != (self.path / name).read_bytes():
                return path
        return None

    # -- epochs ------------------------------------------------------------------------------------------------------

    def epochs(self) -> list[int]:
        """Numbers of the complete epochs, ascending."""
        folder = self.path / "epochs"
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(int(item.name) for item in found if item.name.isdigit())

    def latest_epoch(self) -> int:
        """Number of the newest complete epoch."""
        if epochs := self.epochs():
            return epochs[-1]
        raise InputError(
            f"{self.path} has no finished epoch yet: wait for the first one, or start the training again."
        )

    def publish(
        self,
        epoch: int,
        tensors: Mapping[str, Any],
        latents: Latents,
        description: Mapping[str, Any],
    ) -> None:
        """Write an epoch: torch tensors of the model, latents, and a JSON-able description (box, radius, stage ...).

        Without tensors the epoch has no model: particles can be selected by their latents, but no map decoded.
        """
        final = self.epoch_path(epoch)
        final.parent.mkdir(exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".epoch-", dir=final.parent))
        try:
            if tensors:
                _save_tensors(temporary / "model.safetensors", tensors)
            arrays = {name: getattr(latents, name) for name in _LATENT_ARRAYS}
            arrays = {name: values for name, values in arrays.items() if values is not None}
            np.savez(temporary / "latents.npz", **arrays)
            (temporary / "epoch.json").write_text(json.dumps(dict(description), indent=2) + "\n")
            temporary.chmod(0o755)
            temporary.rename(final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)  # a folder that this call made
            raise

    def read_description(self, epoch: int) -> dict[str, Any]:
        """The description that `publish` stored."""
        return _read_json(self._epoch_file(epoch, "epoch.json"))

    def read_model(self, epoch: int) -> dict[str, Any]:
        """Tensors of the model, by name."""
        if self.epoch_path(epoch).is_dir() and not self.has_model(epoch):
            raise InputError(
                f"{self.path} holds latents alone, without a model that decodes maps or encodes images: select and "
                "export from it, and decode with the program that made the latents."
            )
        return _load_tensors(self._epoch_file(epoch, "model.safetensors"))

    def read_corrections(self, epoch: int | None = None) -> Any | None:
        """Corrections (N, 6) of the particles' poses and CTFs by an epoch, the newest by default; None without any."""
        if not self.config.refine_poses and not self.config.refine_ctf:
            return None
        return self.read_model(self.latest_epoch() if epoch is None else epoch).get("alignment")

    def read_latents(self, epoch: int) -> Latents:
        path = self._epoch_file(epoch, "latents.npz")
        try:
            with np.load(path, allow_pickle=False) as file:
                contrast = file.get("contrast", np.full(len(file["mean"]), np.nan, np.float32))
                mean, log_variance, information = file["mean"], file["log_variance"], file["information"]
                return Latents(mean, log_variance, information, contrast, epoch, file.get("scale"))
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise _damaged(path, error) from error

    def read_embedding(self, epoch: int, method: str = "umap") -> Embedding | None:
        """The stored embedding of an epoch, or None where it was not made yet."""
        path = self.epoch_path(epoch) / f"embedding_{method}.npz"
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as file:
            return Embedding(file["coordinates"], method, json.loads(str(file["parameters"])), epoch)

    def write_embedding(self, embedding: Embedding) -> None:
        path = self.epoch_path(embedding.epoch) / f"embedding_{embedding.method}.npz"
        with _replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, coordinates=embedding.coordinates, parameters=json.dumps(embedding.parameters))

    def _epoch_file(self, epoch: int, name: str) -> Path:
        path = self.epoch_path(epoch) / name
        if not path.is_file():
            known = ", ".join(map(str, self.epochs())) or "none"
            raise InputError(f"{self.path} has no {name} for epoch {epoch}: the finished epochs are {known}.")
        return path

    # -- the state behind the newest epoch ---------------------------------------------------------------------------

    def write_resume(self, tensors: Mapping[str, Any]) -> None:
        """Keep what a resumed run needs beyond the newest epoch, replacing the previous state atomically."""
        with _replacing(self.resume_path) as temporary:
            _save_tensors(temporary, tensors)

    def read_resume(self) -> dict[str, Any]:
        if not self.resume_path.is_file():
            raise InputError(f"{self.path} has no resume.safetensors to go on from: start a new run.")
        return _load_tensors(self.resume_path)

    def append_metrics(self, row: Mapping[str, object]) -> None:
        """Add a row to metrics.csv; a column that earlier rows lack stays empty there."""
        rows: list[Mapping[str, object]] = []
        if self.metrics_path.exists():
            with self.metrics_path.open(newline="") as file:
                rows.extend(csv.DictReader(file))
        rows.append(row)
        columns = list(dict.fromkeys(name for item in rows for name in item))
        with _replacing(self.metrics_path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


def _save_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    # Not save_file: it makes files that only their owner may read.
    path.write_bytes(save({name: tensor.detach().contiguous() for name, tensor in tensors.items()}))


def _load_tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Any] = load_file(path)
    except SafetensorError as error:
        raise _damaged(path, error) from error
    return tensors


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(values, dict):
        raise _damaged(path, "no object")
    return values


def _damaged(path: Path, cause: object) -> InputError:
    return InputError(
        f"{path} cannot be read ({cause}): the run directory is damaged; copy it again or train anew."
    )


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; it takes the final name when the block succeeds."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
