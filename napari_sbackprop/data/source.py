"""Where particles come from: the files of some program, understood as the tables of a STAR file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_sbackprop.data.blocks import StarText, parse_star, read_star
from napari_sbackprop.data.cryodrgn import cryodrgn_tables
from napari_sbackprop.data.cryosparc import REQUIRED, cryosparc_tables
from napari_sbackprop.data.cryosparc_file import find_passthrough, read_group
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.path_map import PathMap
from napari_sbackprop.data.star_table import format_star
from napari_sbackprop.errors import InputError


@dataclass(frozen=True, eq=False)
class ParticleSource:
    """Particles as they were found.

    Attributes
    ----------
    text : a STAR file as it is, or what the files of another program say, as one.
    files : files that a run keeps verbatim, by the name they get there.
    findings : what was assumed so far.
    """

    text: StarText
    files: Mapping[str, Path]
    findings: Findings

    @property
    def path(self) -> Path:
        """The file that the user named, or that its .csg file lists; image names are relative to its project."""
        return self.text.path

    @property
    def content(self) -> bytes:
        """The STAR file, byte for byte."""
        return b"".join(self.text.lines)


def open_source(
    path: Path,
    passthrough: Sequence[Path] = (),
    poses: Path | None = None,
    ctf: Path | None = None,
    findings: Findings | None = None,
    path_map: PathMap = (),
) -> ParticleSource:
    """Open particles: a STAR file, a .cs or .csg file of cryoSPARC, or a stack with the pickles of cryoDRGN.

    Parameters
    ----------
    path : what the user named.
    passthrough : further .cs files of the same particles; by default those beside `path` that have all of them.
    poses, ctf : pickles of the poses and CTF parameters of a stack, or of a text that lists stacks.
    findings : where to note what is wrong; by default a new list.
    path_map : folders of stacks that moved since a text listed them; their headers are read at once.

    Raises
    ------
    InputError
        A file cannot be read, or lacks something.
    """
    path = Path(path)
    findings = Findings(path) if findings is None else findings
    _refuse_odd_options(path, passthrough, poses, ctf)
    if path.suffix == ".csg":
        path, passthrough = read_group(path)
    if poses is not None and ctf is not None:
        tables = cryodrgn_tables(path, poses, ctf, findings, path_map)
        files = {"poses.pkl": poses, "ctf.pkl": ctf}
    elif path.suffix == ".cs":
        passthrough = passthrough or find_passthrough(path, REQUIRED)
        tables = cryosparc_tables(path, passthrough, findings)
        files = {"particles.cs": path}
        files |= {f"passthrough_{number}.cs": other for number, other in enumerate(passthrough, 1)}
    else:
        return ParticleSource(read_star(path), {"particles.star": path}, findings)
    return ParticleSource(parse_star(path, format_star(tables)), files, findings)


def main_file(path: Path) -> Path:
    """The file with the poses: that which a .csg file lists, or the file itself."""
    return read_group(path)[0] if path.suffix == ".csg" else path


def _refuse_odd_options(
    path: Path, passthrough: Sequence[Path], poses: Path | None, ctf: Path | None
) -> None:
    if passthrough and path.suffix != ".cs":
        raise InputError(f"{path} is no .cs file, so --passthrough does not belong to it: leave it out.")
    if (poses is None) != (ctf is None):
        raise InputError(f"{path} needs both --poses and --ctf, cryoDRGN's pickles: give the missing one.")
    if poses is not None and path.suffix in (".cs", ".csg", ".star"):
        raise InputError(
            f"{path} has poses and CTF parameters itself: leave out --poses and --ctf, or give them with a stack."
        )
