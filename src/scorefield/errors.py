"""The one exception that a user is meant to read."""


class InputError(Exception):
    """Bad input: one line that says what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2; nothing has been overwritten when it is raised.
    """
