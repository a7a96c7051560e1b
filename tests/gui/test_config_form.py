from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from napari_sbackprop.config import Config
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.config_form import ConfigForm

pytestmark = pytest.mark.gui


@pytest.fixture
def form(qtbot: Any) -> ConfigForm:
    form = ConfigForm()
    qtbot.addWidget(form)
    return form


def test_every_option_has_a_control_with_its_help(form: ConfigForm) -> None:
    assert set(form.controls) == {option.name for option in fields(Config)}
    for option in fields(Config):
        assert option.metadata["help"][1:] in form.controls[option.name].tooltip


def test_an_untouched_form_gives_the_defaults(form: ConfigForm) -> None:
    assert form.config() == Config()


@pytest.mark.parametrize(
    "config",
    [
        Config(
            recipe="paper", latent_size=3, resolution=7.5, mask=Path("/data/mask.mrc"), held_out=0.1, seed=7
        ),
        Config(reference=Path("/data/map.mrc"), refine_poses=True),
    ],
)
def test_a_form_gives_back_what_it_shows(form: ConfigForm, config: Config) -> None:
    form.set_config(config)
    assert form.config() == config


def test_of_a_run_that_goes_on_only_learning_options_change(form: ConfigForm) -> None:
    form.controls["resolution"].value = "12"
    form.show_run(Config(latent_size=3, kl_weight=2.0))
    assert form.config() == Config(latent_size=3, kl_weight=2.0)
    changeable = {name for name, control in form.controls.items() if control.enabled}
    assert changeable == {
        "epochs",
        "batch_size",
        "learning_rate",
        "kl_weight",
        "device",
        "precision",
        "deterministic",
        "threads",
    }
    form.show_run(Config(latent_size=5))
    form.show_run(None)
    assert form.config() == Config(resolution=12)  # what was typed before
    assert all(control.enabled for control in form.controls.values())


def test_a_wrong_option_is_named(form: ConfigForm) -> None:
    form.controls["resolution"].value = "fine"
    with pytest.raises(InputError, match="resolution is 'fine'"):
        form.config()
    form.controls["resolution"].value = ""
    form.controls["latent_size"].value = 99
    with pytest.raises(InputError, match="basis-size"):
        form.config()
