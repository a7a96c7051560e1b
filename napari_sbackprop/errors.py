"""The one exception that bad input raises: a sentence for the user, never a traceback."""

import errno

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors by which a system says that it stores no more."""


class InputError(ValueError):
    """Input that cannot be used as it is.

    The message is one sentence that names the file, the row or value, and what to do. Front ends print it alone.
    """
