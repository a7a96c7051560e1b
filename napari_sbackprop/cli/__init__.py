"""The command line; see application.py for the list of commands.

A command parses its options, calls one function of the library, and prints what came back. Results go to
stdout, progress and complaints to stderr. Whatever takes time to import is imported inside the command.
"""

from napari_sbackprop.cli.application import application, main

__all__ = ["application", "main"]
