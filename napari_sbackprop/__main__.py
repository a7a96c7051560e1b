"""`python -m napari_sbackprop` is the same as `napari-sbackprop`."""

from napari_sbackprop.cli import main

main()
