"""The one exception that a user is meant to read."""


class InputError(Exception):
    """Bad input: one line that says what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2; when it is raised nothing was overwritten.
    """
