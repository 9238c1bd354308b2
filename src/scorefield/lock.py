"""One process a folder: whoever comes second is refused while the first lives, however the first may end."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError
from .storage import explain_os_errors

try:
    import fcntl
except ImportError:  # not on Windows: there the folder is not protected
    fcntl = None

_NAME = ".lock"
_WITHOUT_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}  # some network file systems


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the existing `folder` for this process alone. Raises InputError if another one holds it.

    The operating system lets go of it when the process ends, so that a kill leaves nothing to clear away.
    """
    file = folder / _NAME
    with explain_os_errors(file):
        descriptor = _hold(file)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink()
        os.close(descriptor)


def _hold(file: Path) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor, file.parent)
            # the holder before may have removed the name meanwhile: a lock on a nameless file keeps nobody out
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{folder} is in use by another process; wait for it or stop it, nothing was written"
        ) from None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
