"""The check of any file a user may take for particles: what it is, what was understood, what is wrong."""

import gzip
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.contrast import describe_contrast
from napari_sbackprop.data.cryosparc_file import field_names, read_rows
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.input_file import require_file
from napari_sbackprop.data.mrc import open_stack, read_header
from napari_sbackprop.data.particle_report import report_particles
from napari_sbackprop.data.path_map import PathMap
from napari_sbackprop.data.report import Report
from napari_sbackprop.data.source import ParticleSource, open_source
from napari_sbackprop.data.star_kind import star_kind
from napari_sbackprop.errors import InputError

_MODEL_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")
_MRC_SUFFIXES = (".mrc", ".mrcs", ".map", ".st", ".rec", ".ccp4")
_GZIP, _ZIP, _NUMPY, _PICKLE = b"\x1f\x8b", b"PK\x03\x04", b"\x93NUMPY", b"\x80"
_HEAD_BYTES = 4096
_NAMES_SHOWN = 10
_SAMPLE = 100  # images read to judge a stack's contrast

# What cryoDRGN keeps in pickles, by the beginning of their names.
_PICKLE_NAMES = {
    "weights": "network weights",
    "pose": "poses",
    "rot": "poses",
    "ctf": "CTF parameters",
    "z": "latents",
    "zvals": "latents",
    "umap": "an embedding of latents",
    "labels": "cluster labels",
    "ind": "a selection of particles",
    "config": "settings of a run",
}
_WITH_STACK = ("poses", "CTF parameters")
_GIVE_STAR = "give the STAR file of a 3D refinement that lists the particles"


def check(
    path: Path,
    passthrough: Sequence[Path] = (),
    poses: Path | None = None,
    ctf: Path | None = None,
    path_map: PathMap = (),
) -> Report:
    """Say what a file is, and whether particles can be trained on from it.

    Never raises for a bad file: what is wrong stands in the report's errors.

    Parameters
    ----------
    path : any file.
    passthrough, poses, ctf : further files of the particles, as `open_source` takes them.
    path_map : folders of images that moved, as `read_particles` takes it.
    """
    path = Path(path)
    kind = "unreadable"
    try:
        require_file(path)
        kind, reporter = _recognise(path)
        if passthrough or poses or ctf or reporter is _report_source:
            return _report_source(path, kind, passthrough, poses, ctf, path_map)
        return _report_star(path, path_map) if reporter is _report_star else reporter(path)
    except InputError as error:
        return Report(path, kind, errors=(str(error),))
    except OSError as error:
        return Report(path, kind, errors=(f"{path} cannot be read ({error}): copy it again.",))


def _recognise(path: Path) -> tuple[str, Callable[[Path], Report]]:
    """Kind of a file by its first bytes, or by its name where they do not tell."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = suffixes[-1] if suffixes else ""
    if head.startswith(_GZIP):
        inner = suffixes[-2] if len(suffixes) > 1 else ""
        return ("model", _report_model) if inner in _MODEL_SUFFIXES else ("archive", _report_archive)
    if suffix in (".cs", ".csg"):
        return "cryosparc", _report_source
    if head.startswith(_NUMPY):
        return "array", _report_array
    if head.startswith(_ZIP):
        return "archive", _report_zip
    if head.startswith(_PICKLE) or suffix in (".pkl", ".pickle", ".pt", ".pth"):
        return "pickle", _report_pickle
    if suffix in _MODEL_SUFFIXES or head.startswith((b"HEADER ", b"ATOM  ")):
        return "model", _report_model
    if suffix in _MRC_SUFFIXES or head[208:211] == b"MAP":
        return "stack" if suffix == ".mrcs" else "map", _report_mrc
    if suffix == ".star" or any(line.startswith(b"data_") for line in head.splitlines()):
        return "star", _report_star
    return ("binary", _report_binary) if b"\0" in head else ("text", _report_text)


def _report_star(path: Path, path_map: PathMap = ()) -> Report:
    text = read_star(path)
    kind, sentence = star_kind(text)
    if kind == "particles":
        try:
            return report_particles(ParticleSource(text, {}, Findings(path)), path_map=path_map)
        except InputError as error:
            return Report(path, kind, errors=(str(error),))
    blocks = [f"{block.title} ({block.count} rows)" for block in text.blocks]
    return Report(path, kind, {"blocks": blocks}, errors=(sentence,))


def _report_mrc(path: Path) -> Report:
    header = read_header(path)
    sections, rows, columns = header.shape
    is_map = sections == rows == columns and path.suffix.lower() != ".mrcs"
    warnings = []
    if not header.has_map_id:
        warnings.append(f"{path} has no MAP id in its header: the rest of the header is taken as it is.")
    if not is_map and header.is_volume:
        warnings.append(f"{path} is called a volume by its header: it is taken as a stack for its shape.")
    if header.pixel_size in (0.0, 1.0):
        warnings.append(
            f"{path} has the pixel size {header.pixel_size:g} Å in its header, which often means none."
        )
    if surplus := path.stat().st_size - header.end:
        warnings.append(f"{path} is {surplus} bytes longer than its header says: the rest is ignored.")
    if is_map:
        facts = {"box": columns, "pixel_size": header.pixel_size, "values": header.dtype.name}
        sentence = f"{path} is a map, not particles: {_GIVE_STAR}."
        return Report(path, "map", facts, tuple(warnings), (sentence,))
    contrast = "undecided"
    if rows == columns:
        stack = open_stack(path)
        contrast = describe_contrast(np.asarray(stack[:: -(-sections // _SAMPLE)], dtype=np.float32))
    facts = {
        "images": sections,
        "box": columns if rows == columns else f"{columns} x {rows}",
        "pixel_size": header.pixel_size,
        "values": header.dtype.name,
        "contrast": contrast,
    }
    sentence = f"{path} is a stack of images, without poses and CTF: {_GIVE_STAR}, or --poses and --ctf."
    return Report(path, "stack", facts, tuple(warnings), (sentence,))


def _report_model(path: Path) -> Report:
    """Count atoms, in the text alone: PDB and mmCIF name them in the same words."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rb") as file:
            atoms = sum(line.startswith((b"ATOM", b"HETATM")) for line in file)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path} is a damaged gzip file ({error}): copy it again.") from error
    if not atoms:
        raise InputError(
            f"{path} has no atoms, so it is no model: give a PDB or mmCIF file with coordinates."
        )
    sentence = f"{path} is an atomic model, not particles: {_GIVE_STAR}, or simulate some from two models."
    return Report(path, "model", {"atoms": atoms}, errors=(sentence,))


def _report_source(
    path: Path,
    kind: str = "cryosparc",
    passthrough: Sequence[Path] = (),
    poses: Path | None = None,
    ctf: Path | None = None,
    path_map: PathMap = (),
) -> Report:
    """Particles of another program, whose files are named in the report too."""
    findings = Findings(path)
    facts = {}
    if path.suffix == ".cs":
        rows = read_rows(path)
        facts = {"particles": len(rows), "fields": len(field_names(rows))}
    try:
        source = open_source(path, passthrough, poses, ctf, findings, path_map)
        report = report_particles(source, kind, path_map)
    except InputError as error:
        errors = findings.errors or [str(error)]
        return Report(path, kind, facts, tuple(findings.warnings), tuple(errors))
    others = [file.name for file in source.files.values() if file != path]
    return replace(report, path=path, facts={**report.facts, "other_files": others})


def _report_array(path: Path) -> Report:
    values = _load_array(path)
    facts = {"shape": list(values.shape), "values": values.dtype.name}
    return Report(path, "array", facts, errors=(f"{path} is a numpy array, not particles: {_GIVE_STAR}.",))


def _load_array(path: Path) -> npt.NDArray[Any]:
    try:
        values: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return values
    except (ValueError, EOFError) as error:
        raise InputError(
            f"{path} is damaged or holds Python objects, which are not read: export it again."
        ) from error


def _report_zip(path: Path) -> Report:
    """Tell numpy's archives, whose names are listed, from torch's, which hold a pickle."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} is a damaged archive ({error}): copy it again.") from error
    if any(member.endswith(".pkl") for member in members):
        return _report_pickle(path)
    names = [member.removesuffix(".npy") for member in members if member.endswith(".npy")]
    if not names:
        return _report_archive(path)
    listed = ", ".join(names[:_NAMES_SHOWN])
    sentence = f"{path} holds numpy arrays ({listed}), not particles: {_GIVE_STAR}."
    return Report(path, "arrays", {"arrays": names}, errors=(sentence,))


def _report_pickle(path: Path) -> Report:
    """Go by the name alone: most pickles hold more than arrays."""
    stems = {word.rstrip("0123456789") for word in path.name.lower().replace("_", ".").split(".")}
    content = next((meaning for stem, meaning in _PICKLE_NAMES.items() if stem in stems), "unknown content")
    advice = "give it with a stack, as --poses or --ctf" if content in _WITH_STACK else _GIVE_STAR
    error = f"{path} is a Python pickle (by its name: {content}), which is not opened alone: {advice}."
    return Report(path, "pickle", {"content": content, "file_bytes": path.stat().st_size}, errors=(error,))


def _report_archive(path: Path) -> Report:
    return Report(path, "archive", errors=(f"{path} is compressed: unpack it first.",))


def _report_text(path: Path) -> Report:
    return Report(path, "text", errors=(f"{path} is a text without particles: {_GIVE_STAR}.",))


def _report_binary(path: Path) -> Report:
    return Report(path, "binary", errors=(f"{path} is a binary file of an unknown kind: {_GIVE_STAR}.",))
