"""What a STAR file holds: particles, or one of RELION's many other tables."""

from napari_sbackprop.data.blocks import Block, StarText, readable
from napari_sbackprop.errors import InputError

_NAMED_KINDS = {
    "pipeline_general": ("pipeline", "is the pipeline of a RELION project"),
    "optimiser_general": ("optimiser", "is a RELION optimiser"),
    "model_general": ("relion_model", "is a RELION model"),
    "sampling_general": ("sampling", "is a RELION sampling of orientations"),
    "output_nodes": ("job", "is the list of a RELION job's outputs"),
    "job": ("job", "is the settings of a RELION job"),
}
_TOMOGRAPHY_LABELS = frozenset({"rlnTomoName", "rlnTomoParticleName", "rlnTomoTiltSeriesName", "rlnCtfImage"})
_USUAL_NAMES = ("particles", "images", "")
_ADVICE = "give the particles of a 3D refinement, such as run_data.star"


def star_kind(text: StarText) -> tuple[str, str]:
    """Tell a STAR file's kind, in one word, and why it is not a particle file (an empty text where it is)."""
    names = {block.name for block in text.blocks}
    for name, (kind, statement) in _NAMED_KINDS.items():
        if name in names:
            return kind, f"{text.path} {statement}, not a particle file: {_data_file_advice(text)}."
    if _is_tomography(text):
        return "tomography", (
            f"{text.path} lists subtomograms or tilt series, not single-particle images: {_ADVICE}."
        )
    if _image_tables(text):
        return "particles", ""
    if "rlnMicrographName" in text.labels or "rlnMicrographMovieName" in text.labels:
        return (
            "micrographs",
            f"{text.path} lists micrographs, not particle images, for it has no rlnImageName: {_ADVICE}.",
        )
    blocks = ", ".join(block.title for block in text.blocks[:6])
    return (
        "star",
        f"{text.path} lists no particles, for none of its blocks ({blocks}) has rlnImageName: {_ADVICE}.",
    )


def particle_block(text: StarText) -> Block:
    """Find the table of particles.

    Raises
    ------
    InputError
        There is none, several could be it, or it has no rows.
    """
    kind, sentence = star_kind(text)
    if kind != "particles":
        raise InputError(sentence)
    tables = _image_tables(text)
    for name in _USUAL_NAMES:
        if usual := [block for block in tables if block.name == name]:
            tables = usual
            break
    if len(tables) > 1:
        names = ", ".join(block.title for block in tables)
        raise InputError(
            f"{text.path} has several tables with rlnImageName ({names}): keep one, named data_particles."
        )
    if not tables[0].count:
        raise InputError(f"{text.path} has no rows in {tables[0].title}: choose a file with particles.")
    return tables[0]


def optics_block(text: StarText) -> Block | None:
    """Find the table of optics groups, whatever its name; None in files as RELION 3.0 writes them."""
    tables = text.find(
        lambda block: "rlnOpticsGroup" in block and "rlnImageName" not in block and block.count > 0
    )
    named = [block for block in tables if block.name == "optics"]
    return next(iter(named or tables), None)


def _image_tables(text: StarText) -> list[Block]:
    return text.find(lambda block: "rlnImageName" in block)


def _is_tomography(text: StarText) -> bool:
    if text.labels & _TOMOGRAPHY_LABELS:
        return True
    optics = optics_block(text)
    if optics is None or "rlnImageDimensionality" not in optics:
        return False
    dimensions = optics.columns(["rlnImageDimensionality"]).texts["rlnImageDimensionality"]
    return b"3" in dimensions.tolist()


def _data_file_advice(text: StarText) -> str:
    label = "rlnExperimentalDataStarFile"
    for block in text.find(lambda block: label in block):
        return f"give the particles it names, {readable(block.columns([label]).texts[label][0])}"
    return _ADVICE
