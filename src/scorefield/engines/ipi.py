"""i-PI: a model as a driver that answers over a socket, in atomic units (bohr, hartree).

The protocol (Ceriotti, More and Manolopoulos 2014; Kapil et al. 2019): 12-byte messages; the server asks STATUS, sends
INIT and POSDATA (cell, its inverse, n_atoms, positions) and asks GETFORCE, answered by FORCEREADY, energy, n_atoms,
forces, virial and an empty remark. The virial is that of a molecule without a cell, 0.
"""

import contextlib
import socket
import struct
import time
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..units import BOHR, HARTREE
from .replicas import ReplicaForce

_LENGTH = 12
SOCKETS = "/tmp/ipi_"
"""What i-PI puts before the name of a Unix socket."""


def drive(
    run: Path | str,
    *,
    unix: str | None = None,
    host: str = "localhost",
    port: int = 31415,
    level: float | None = None,
    wait: float = 0.0,
) -> int:
    """Answer the i-PI server at the Unix socket named `unix`, or at `host` and `port`, until it is done.

    `wait`: seconds in which the server may yet start.
    Returns the number of evaluations. Raises InputError if the folder is not a trained model, no server answers, or it sends
    another number of atoms than the model has beads.
    """
    field = ReplicaForce(run, level)
    with _connected(unix, host, port, time.monotonic() + wait) as channel:
        return serve(channel, field)


def _connected(unix: str | None, host: str, port: int, until: float) -> socket.socket:
    while True:
        channel = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        try:
            channel.connect(f"{SOCKETS}{unix}" if unix else (host, port))
            return channel
        except OSError as error:
            channel.close()
            if time.monotonic() >= until:
                where = f"{SOCKETS}{unix}" if unix else f"{host}:{port}"
                reason = error.strerror or str(error)
                raise InputError(f"no i-PI server answers at {where} ({reason}); start it first") from None
            time.sleep(0.1)


def serve(channel: socket.socket, field: ReplicaForce) -> int:
    """Answer on an open socket until the other end says EXIT or goes away; the number of evaluations.

    Raises InputError if it speaks another protocol, or of another number of atoms.
    """
    answer, count = b"", 0
    with contextlib.suppress(ConnectionError):  # the server's way of ending when it is stopped
        while (message := _receive(channel, _LENGTH).decode("ascii", "replace").strip()) != "EXIT":
            if message == "STATUS":
                channel.sendall((b"HAVEDATA" if answer else b"READY").ljust(_LENGTH))
            elif message == "INIT":
                _, length = struct.unpack("=2i", _receive(channel, 8))
                _receive(channel, length)
            elif message == "POSDATA":
                answer, count = _evaluate(channel, field), count + 1
            elif message == "GETFORCE":
                channel.sendall(b"FORCEREADY".ljust(_LENGTH) + answer)
                answer = b""
            else:
                raise InputError(f"the server sent {message!r}, which is not i-PI's protocol")
    return count


def _evaluate(channel: socket.socket, field: ReplicaForce) -> bytes:
    """Read positions in bohr; energy in hartree and forces in hartree/bohr, as they are sent."""
    _receive(channel, 2 * 72)  # the cell and its inverse
    (n_atoms,) = struct.unpack("=i", _receive(channel, 4))
    if n_atoms != field.molecule.n_beads:
        raise InputError(f"the server simulates {n_atoms} atoms, but the model has {field.molecule.n_beads} beads")
    x = np.frombuffer(_receive(channel, 24 * n_atoms)).reshape(1, n_atoms, 3)
    energy, force = field(x * BOHR)
    forces = (force[0] * (BOHR / HARTREE)).tobytes()
    return struct.pack("=di", energy[0] / HARTREE, n_atoms) + forces + bytes(72) + struct.pack("=i", 0)


def _receive(channel: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = channel.recv(size - len(found))
        if not part:
            raise ConnectionError
        found += part
    return found
