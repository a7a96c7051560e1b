"""The napari plugin: a model and a controller without Qt, and the widgets that render them.

Nothing here is imported when napari starts; the manifest (`napari.yaml`) names what to load when a dock opens.
"""

__all__: list[str] = []
