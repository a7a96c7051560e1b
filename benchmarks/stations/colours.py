"""The particles in the colours of everything that is known of them."""

import re

import numpy as np
from guide import Guide

PICTURED = {"latent_sigma": "colours-numbers", "cluster": "colours-classes"}


def colour_by_everything(guide: Guide) -> None:
    """Choose every colour; each has its legend."""
    panel, model = guide.dock.scatter_panel, guide.model
    guide.does("colours")
    if model.clustering is None:
        guide.hold("C")
        guide.loop.until(lambda: model.clustering is not None, "clusters")
    guide.hold("E")
    guide.person.key(guide.scatter, "Escape")
    guide.loop.until(lambda: model.qualities, "the qualities of the particles")
    names = [panel.colour.itemText(row) for row in range(panel.colour.count())]
    wanted = {"density", "contrast", "cluster", "latent_sigma", "evidence", "movement", "rlnDefocusU"}
    guide.check("density, cluster, what the epoch says, and columns are offered", wanted <= {*names})
    for name in names:
        guide.does(f"colour by {name}")
        guide.person.choose(panel.colour, name)
        guide.loop.run(0.1)
        guide.check(f"{name} colours the particles", model.colour == name)
        guide.check(f"{name} has a legend", "color:" in panel.legend.text())
        if name in PICTURED:
            guide.picture(PICTURED[name])
    guide.person.choose(panel.colour, "rlnDefocusU")
    guide.loop.run(0.1)
    words = re.sub("<[^>]*>|&[^;]*;", " ", panel.legend.text()).split()
    low, high = (float(words[end].replace(",", "")) for end in (0, -1))
    values = np.asarray(model.columns.values["rlnDefocusU"])
    guide.check("a legend of numbers has their ends", ((values >= low) & (values <= high)).mean() > 0.95)
    guide.person.choose(panel.colour, "density")
