"""Images that moved since the STAR file was written."""

import shutil
from pathlib import Path

import pytest
from foreign_files import cryosparc_rows, save_rows
from relion_project import Project

from napari_sbackprop.data.check import check
from napari_sbackprop.data.cryodrgn import write_ctf, write_poses
from napari_sbackprop.data.path_map import moved, parse_path_map
from napari_sbackprop.data.source import open_source
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("/old/project/Extract/a.mrcs", "/new/Extract/a.mrcs"),
        ("/old/projects/Extract/a.mrcs", "/old/projects/Extract/a.mrcs"),
        ("Extract/job005/a.mrcs", "/scratch/a.mrcs"),
        ("Extract/job0055/a.mrcs", "/root/Extract/job0055/a.mrcs"),
        ("/a.mrcs", "/a.mrcs"),
        ("a.mrcs", "/root/a.mrcs"),
    ],
)
def test_whole_folders_are_replaced_at_the_beginning(name: str, place: str) -> None:
    assert moved(name, [("/old/project", "/new"), ("Extract/job005", "/scratch"), (".", "/root")]) == place


def test_the_first_pair_that_fits_decides() -> None:
    assert moved("a/b/c.mrcs", [("a/b", "/first"), ("a", "/second")]) == "/first/c.mrcs"


@pytest.mark.parametrize("text", ["/old", "=/new", "/old=", ""])
def test_a_pair_needs_both_folders(text: str) -> None:
    with pytest.raises(InputError, match="must be OLD=NEW, such as"):
        parse_path_map([text])


def test_a_new_folder_must_exist_and_is_kept_as_an_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    assert parse_path_map(["Extract/=here"]) == (("Extract", str(tmp_path / "here")),)
    with pytest.raises(InputError, match=r"'Extract=gone', but there is no folder gone: check its name"):
        parse_path_map(["Extract=gone"])


def spoiled(project: Project, folder: str) -> Path:
    """A STAR file whose images are named in `folder` and were moved to moved/ of the project."""
    particles = project.particles()
    particles["rlnImageName"] = [f"{number}@{folder}/images.mrcs" for number in (1, 2, 3, 4)]
    shutil.move(project.folder / "Extract", project.folder / "moved")
    return project.write(particles, project.optics())


@pytest.mark.parametrize("folder", ["Extract", "/nowhere/old/Extract"])
def test_moved_images_are_found_and_nothing_is_guessed(project: Project, folder: str) -> None:
    star = spoiled(project, folder)
    with pytest.raises(InputError, match=rf"where is it\? Add --path-map {folder}=FOLDER"):
        read_particles(star)
    path_map = parse_path_map([f"{folder}={project.folder / 'moved'}"])
    assert read_particles(star, path_map=path_map).stack_paths == (project.folder / "moved" / "images.mrcs",)
    assert not check(star, path_map=path_map).errors
    assert check(star).errors


def test_a_file_that_may_be_the_one_is_offered(project: Project) -> None:
    star = spoiled(project, "/old/place/moved")
    with pytest.raises(InputError, match="which does not exist") as refusal:
        read_particles(star)
    place = project.folder / "moved" / "images.mrcs"
    assert f"{place} exists; if that is it, add --path-map /old/place={project.folder}" in str(refusal.value)
    offer = str(refusal.value).split("--path-map ")[1].split(",")[0]
    assert read_particles(star, path_map=parse_path_map([offer])).stack_paths == (place,)


def test_a_map_that_leads_nowhere_is_named(project: Project) -> None:
    star = spoiled(project, "/old")
    with pytest.raises(
        InputError, match=r"names /old/images\.mrcs, by --path-map .*Refine3D/images\.mrcs, which does"
    ):
        read_particles(star, path_map=parse_path_map([f"/old={project.folder / 'Refine3D'}"]))


def test_the_offer_for_a_name_without_a_folder_works(project: Project) -> None:
    particles = project.particles()
    particles["rlnImageName"] = [f"{number}@images.mrcs" for number in (1, 2, 3, 4)]
    star = project.write(particles, project.optics())
    with pytest.raises(InputError, match=r"Add --path-map \.=FOLDER"):
        read_particles(star)
    place = project.folder / "Extract"
    assert read_particles(star, path_map=parse_path_map([f".={place}"])).stack_paths == (
        place / "images.mrcs",
    )


def test_images_lie_beside_a_link_or_what_it_leads_to(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    star = project.write(project.particles(), project.optics())
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "linked.star").symlink_to(star)
    images = (project.folder / "Extract" / "images.mrcs",)
    assert read_particles(elsewhere / "linked.star").stack_paths == images
    assert not check(elsewhere / "linked.star").errors
    shutil.move(star, elsewhere / "moved.star")
    star.symlink_to(elsewhere / "moved.star")
    assert read_particles(star).stack_paths == images


@pytest.mark.parametrize("ending", ["cs", "csg"])
def test_moved_images_of_cryosparc(project: Project, ending: str) -> None:
    star = project.write(project.particles(), project.optics())
    path = save_rows(project.folder / "J2" / "particles.cs", cryosparc_rows(star))
    if ending == "csg":
        path = path.with_suffix(".csg")
        path.write_text("results:\n  alignments3D:\n    metafile: '>particles.cs'\n")
    shutil.move(project.folder / "Extract", project.folder / "moved")
    assert "Add --path-map Extract=FOLDER" in check(path).errors[0]
    path_map = parse_path_map([f"Extract={project.folder / 'moved'}"])
    assert not check(path, path_map=path_map).errors
    assert read_particles(open_source(path), path_map=path_map).count == 4


def test_moved_stacks_of_a_list(project: Project) -> None:
    particles = read_particles(project.write(project.particles(), project.optics()))
    files = {"poses": project.folder / "pose.pkl", "ctf": project.folder / "ctf.pkl"}
    write_poses(files["poses"], particles)
    write_ctf(files["ctf"], particles)
    (project.folder / "stacks.txt").write_text("/old/images.mrcs\n")
    (report,) = check(project.folder / "stacks.txt", **files).errors
    assert "lists /old/images.mrcs, which is not there" in report
    path_map = parse_path_map([f"/old={project.folder / 'Extract'}"])
    assert not check(project.folder / "stacks.txt", **files, path_map=path_map).errors
