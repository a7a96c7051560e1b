"""The commands select and classes: particles as files for the next program."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sbackprop.cli.arrays import read_array
from napari_sbackprop.cli.console import examples, show
from napari_sbackprop.cli.options import Epoch, Json, Method, Run, checked_method
from napari_sbackprop.errors import InputError

if TYPE_CHECKING:
    from napari_sbackprop.analysis.clustering import Clustering
    from napari_sbackprop.analysis.selection import ParticleSelection
    from napari_sbackprop.run_directory import RunDirectory

commands = typer.Typer()

FORMATS = {".cs": "cs", ".pkl": "indices"}
"""Endings of outputs that are no STAR files."""
WAYS = (
    "Give one of --indices FILE, --polygon FILE, --set NAME, --where CONDITIONS, --min-contrast X, "
    "--region X,Y,Z,R with --min-density D, or --cluster I with --kmeans K, --gmm K or --hdbscan N."
)
Kmeans = Annotated[int | None, typer.Option(help="number of clusters, by k-means")]
Gmm = Annotated[int | None, typer.Option(help="the same, by a Gaussian mixture")]
Hdbscan = Annotated[
    int | None, typer.Option(help="the same, by HDBSCAN: least number of particles in a cluster")
]


@commands.command(
    epilog=examples(
        "napari-sbackprop select run -o state.star --kmeans 10 --cluster 3",
        'napari-sbackprop select run -o thick.star --where "rlnDefocusU > 15000 & z1 < 0"',
        'napari-sbackprop select run -o two.star --hdbscan 200 --where "cluster == 0 | cluster == 2"',
        "napari-sbackprop select run -o open.star --set open",
        "napari-sbackprop select run -o good.star --min-contrast 0.5",
        "napari-sbackprop select run -o closed.star --region 182,140,96,12 --min-density 0.08",
        "napari-sbackprop select run -o state.star --indices chosen.npy",
        "napari-sbackprop select run -o state.star --polygon outline.json --original unbinned.star",
        "napari-sbackprop select run -o state.cs --kmeans 10 --cluster 3",
    )
)
def select(
    run: Run,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="new STAR file, .cs file for cryoSPARC, or .pkl file for cryoDRGN"
        ),
    ],
    indices: Annotated[
        Path | None, typer.Option(help=".npy or .pkl file of particle numbers from 0, or of true/false")
    ] = None,
    polygon: Annotated[
        Path | None, typer.Option(help="JSON file [[x, y], ...]: an outline in the embedding")
    ] = None,
    kept: Annotated[str | None, typer.Option("--set", help="name of a set kept in the explorer")] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help="conditions on STAR columns, latents z1, z2 ..., contrast, cluster, latent_sigma, evidence, movement"
        ),
    ] = None,
    kmeans: Kmeans = None,
    gmm: Gmm = None,
    hdbscan: Hdbscan = None,
    cluster: Annotated[
        int | None, typer.Option(help="cluster to take, from 0, as volumes --kmeans counts")
    ] = None,
    min_contrast: Annotated[
        float | None,
        typer.Option(help="least contrast: particles score near 1, noise and wrong objects near 0"),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z,R",
            help="sphere in the map, in Å as ChimeraX shows it, that --min-density is about",
        ),
    ] = None,
    min_density: Annotated[
        float | None,
        typer.Option(help="least mean density, in map units, of a particle's map in the --region"),
    ] = None,
    method: Method = "umap",
    original: Annotated[
        Path | None,
        typer.Option(
            help="take the rows of another file of these images, e.g. unbinned ones, or those before subtraction"
        ),
    ] = None,
    unique_images: Annotated[
        bool, typer.Option("--unique-images", help="one row per image, for symmetry-expanded particles")
    ] = False,
    revert: Annotated[
        bool,
        typer.Option(
            "--revert", help="name the images before subtraction, as relion_particle_subtract --revert does"
        ),
    ] = False,
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Write some of the particles to a file for the next program.

    STAR and .cs files keep the chosen rows as they are, byte for byte; a .csg file beside a .cs file is for cryoSPARC's
    Import Result Group. A .pkl file holds their numbers, for cryoDRGN's --ind. A .json file records how they were chosen.
    """
    from napari_sbackprop.analysis.selection import export_selection
    from napari_sbackprop.run_directory import RunDirectory

    directory = RunDirectory(run)
    clusterings = _asked(kmeans=kmeans, gmm=gmm, hdbscan=hdbscan)
    ways = (indices, polygon, kept, where, cluster, min_contrast, region)
    by_cluster = cluster is not None or where is not None
    half_region = (region is None) != (min_density is None)
    if len(ways) - ways.count(None) != 1 or len(clusterings) > by_cluster or half_region:
        raise InputError(WAYS)
    epoch = directory.latest_epoch() if epoch is None else epoch
    clustering = _clustering(directory, epoch, clusterings)
    if cluster is not None and clustering is None:
        raise InputError(WAYS)
    if indices is not None:
        selection = _from_indices(directory, epoch, indices, output.stem)
    elif polygon is not None:
        selection = _from_polygon(directory, epoch, polygon, checked_method(method), output.stem)
    elif kept is not None:
        selection = _from_set(directory, epoch, kept)
    elif where is not None:
        selection = _from_query(directory, epoch, where, clustering, output.stem)
    elif min_contrast is not None:
        selection = _from_contrast(directory, epoch, min_contrast, output.stem)
    elif region is not None and min_density is not None:
        selection = _from_region(directory, epoch, region, min_density, output.stem)
    else:
        selection = _from_cluster(clustering, cluster or 0, output.stem)
    rows = export_selection(directory, selection, output, original, unique_images, revert)
    written = {FORMATS.get(output.suffix, "star"): output}
    show({**written, "particles": len(selection.indices), "rows": rows, "epoch": epoch}, as_json)


@commands.command(
    epilog=examples(
        "napari-sbackprop classes run -o classes.star --kmeans 10",
        "napari-sbackprop classes run -o classes.star --hdbscan 200",
        "relion_star_handler --i classes.star --o third.star --select rlnClassNumber --minval 3 --maxval 3",
    )
)
def classes(
    run: Run,
    output: Annotated[Path, typer.Option("-o", "--output", help="new STAR file")],
    kmeans: Kmeans = None,
    gmm: Gmm = None,
    hdbscan: Hdbscan = None,
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Write all particles to one STAR file, with their clusters as RELION's classes.

    rlnClassNumber is the number of the cluster, counted from 1; particles that HDBSCAN leaves out are the last class.
    All else stays as it is, byte for byte. RELION's Subset selection and its programs split the file by class.
    """
    from napari_sbackprop.analysis.classes import export_classes
    from napari_sbackprop.run_directory import RunDirectory

    directory = RunDirectory(run)
    clusterings = _asked(kmeans=kmeans, gmm=gmm, hdbscan=hdbscan)
    epoch = directory.latest_epoch() if epoch is None else epoch
    clustering = _clustering(directory, epoch, clusterings)
    if clustering is None or len(clusterings) > 1:
        raise InputError("Give one of --kmeans K, --gmm K and --hdbscan N: its clusters become the classes.")
    counts = export_classes(directory, clustering, output)
    show({"star": output, "particles": sum(counts), "classes": counts, "epoch": epoch}, as_json)


def _asked(**numbers: int | None) -> dict[str, int]:
    return {method: number for method, number in numbers.items() if number is not None}


def _clustering(run: "RunDirectory", epoch: int, asked: dict[str, int]) -> "Clustering | None":
    """Clusters by the first method asked for; without one, those that the run came with."""
    from napari_sbackprop.analysis.clustering import Clustering, cluster, read_clustering

    for method, number in asked.items():
        return Clustering(method, number, cluster(run.read_latents(epoch).mean, method, number), epoch)
    return read_clustering(run, epoch)


def _from_indices(run: "RunDirectory", epoch: int, path: Path, name: str) -> "ParticleSelection":
    from napari_sbackprop.analysis.selection import ParticleSelection, checked_indices

    count = len(run.read_latents(epoch).mean)
    return ParticleSelection(
        name, checked_indices(read_array(path), count, str(path)), {"indices_file": str(path)}
    )


def _from_polygon(run: "RunDirectory", epoch: int, path: Path, method: str, name: str) -> "ParticleSelection":
    from napari_sbackprop.analysis.embedding import embed as embed_run
    from napari_sbackprop.analysis.selection import ParticleSelection, inside_polygon
    from napari_sbackprop.data.input_file import require_file

    require_file(path)
    try:
        vertices: Any = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): write [[x, y], [x, y], ...].") from error
    coordinates = embed_run(run.path, epoch, method).coordinates
    try:
        chosen = inside_polygon(coordinates, vertices)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return ParticleSelection(name, chosen, {"polygon": vertices, "method": method, "epoch": epoch})


def _from_contrast(run: "RunDirectory", epoch: int, least: float, name: str) -> "ParticleSelection":
    import numpy as np

    from napari_sbackprop.analysis.selection import ParticleSelection

    contrast = run.read_latents(epoch).contrast
    if np.isnan(contrast).all():
        raise InputError(
            f"{run.path} has no contrast in epoch {epoch}: only the default recipe measures it; train again with it."
        )
    chosen = np.flatnonzero(contrast >= least)
    if not len(chosen):
        raise InputError(
            f"--min-contrast is {least:g}, but the highest contrast is {np.nanmax(contrast):.3g}: lower it."
        )
    return ParticleSelection(name, chosen, {"min_contrast": least, "epoch": epoch})


def _from_region(run: "RunDirectory", epoch: int, text: str, least: float, name: str) -> "ParticleSelection":
    import numpy as np

    from napari_sbackprop.analysis.reconstruction import Decoder
    from napari_sbackprop.analysis.region import Sphere, region_densities
    from napari_sbackprop.analysis.selection import ParticleSelection

    try:
        x, y, z, radius = map(float, text.split(","))
    except ValueError as error:
        raise InputError(f"--region is {text}, but must be X,Y,Z,R: four numbers in Å.") from error
    if not 0 < radius < np.inf:
        raise InputError(f"--region is {text}, but its radius, the last number, must be above 0 Å.")
    decoder = Decoder.open(run, epoch)
    densities = region_densities(
        decoder, decoder.coefficients(decoder.latents.mean), Sphere((x, y, z), radius)
    )
    chosen = np.flatnonzero(densities >= least)
    if not len(chosen):
        raise InputError(
            f"--min-density is {least:g}, but the highest density there is {densities.max():.3g}: lower it."
        )
    return ParticleSelection(
        name, chosen, {"region": [x, y, z, radius], "min_density": least, "epoch": epoch}
    )


def _from_set(run: "RunDirectory", epoch: int, name: str) -> "ParticleSelection":
    from napari_sbackprop.analysis.particle_set import read_sets

    sets = {kept.name: kept for kept in read_sets(run, len(run.read_latents(epoch).mean))}
    if name not in sets:
        raise InputError(f"--set is {name}, but {run.path} has the sets {', '.join(sets) or 'none'}.")
    return sets[name]


def _from_query(
    run: "RunDirectory", epoch: int, text: str, clustering: "Clustering | None", name: str
) -> "ParticleSelection":
    import numpy as np

    from napari_sbackprop.analysis.qualities import particle_qualities
    from napari_sbackprop.analysis.query import parse_query, particle_values
    from napari_sbackprop.analysis.selection import ParticleSelection
    from napari_sbackprop.data.star import read_columns

    query = parse_query(text)
    labels = None if clustering is None else clustering.labels
    latents = run.read_latents(epoch)
    columns = {**read_columns(run.star_path), **particle_qualities(run, epoch)}
    values = particle_values(latents.mean, latents.contrast, columns, labels)
    chosen = np.flatnonzero(query.mask(values))
    if not len(chosen):
        raise InputError(f"--where {text!r} holds for no particle: widen it.")
    made = {} if clustering is None else clustering.provenance
    return ParticleSelection(name, chosen, {"query": text, "epoch": epoch, **made})


def _from_cluster(clustering: "Clustering | None", cluster: int, name: str) -> "ParticleSelection":
    import numpy as np

    from napari_sbackprop.analysis.selection import ParticleSelection

    count = 0 if clustering is None else len(clustering.sizes)
    if clustering is None or not 0 <= cluster < count:
        raise InputError(f"--cluster is {cluster}, but there are {count} clusters, counted from 0.")
    chosen = np.flatnonzero(clustering.labels == cluster)
    return ParticleSelection(name, chosen, {**clustering.provenance, "cluster": cluster})
