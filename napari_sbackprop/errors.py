"""The one exception that bad input raises: a sentence for the user, never a traceback."""


class InputError(ValueError):
    """Input that cannot be used as it is.

    The message is one sentence that names the file, the row or value, and what to do. Front ends print it alone.
    """
