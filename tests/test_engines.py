"""Engines: the same energies and forces as our own, in each one's units; masses; round trips; examples that run."""

import pickle
import runpy
import socket
import struct
import sys
import threading
from dataclasses import replace
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from small import untrained

from scorefield.engines import ipi as ipi_engine
from scorefield.engines import replicas
from scorefield.engines.jax_md import energy_function
from scorefield.engines.replicas import ReplicaForce
from scorefield.errors import InputError
from scorefield.forcefield import ForceField
from scorefield.model import load_model

N, REPLICAS = tiny.MOLECULE.n_beads, 5
X = tiny.positions(REPLICAS, 3)
EXAMPLES = Path(__file__).parent.parent / "examples"
needs = lambda package, extra: pytest.importorskip(package, reason=f"needs the extra scorefield[{extra}]")


@pytest.fixture(scope="module")
def ours(run_folder):
    """Energies (kJ/mol) and forces (kJ/mol/nm) of X by the force field itself."""
    model = load_model(run_folder)
    field = ForceField(model.score, model.level, model.temperature)
    energy, force = jax.jit(jax.vmap(lambda x: (field.energy(x), field.force(x))))(jnp.asarray(X))
    return np.asarray(energy, float), np.asarray(force, float)


def assert_same(energy, force, ours, scale=1.0):
    """Within 1e-5, of the spread of energies (whose zero is arbitrary) and of the largest force."""
    np.testing.assert_allclose(energy, ours[0], rtol=1e-5, atol=1e-5 * np.ptp(ours[0]))
    np.testing.assert_allclose(force, ours[1], atol=1e-5 * np.abs(ours[1]).max())


def test_replicas_feel_the_force_field_wherever_they_are(run_folder, ours):
    field = ReplicaForce(run_folder)
    assert_same(*field(X), ours)
    assert_same(*field(X + np.array([[[100.0, -50.0, 3.0]]]) * np.arange(REPLICAS)[:, None, None]), ours)
    with pytest.raises(InputError, match="positions have shape"):
        field(X[:, :-1])


def test_what_is_pickled_is_a_path(run_folder, ours):
    text = pickle.dumps(ReplicaForce(run_folder, 0.004))
    assert len(text) < 500 + len(str(run_folder))
    again = pickle.loads(text)
    assert (again.run, again.level) == (str(run_folder), 0.004)
    np.testing.assert_array_equal(again(X).force, ReplicaForce(run_folder, 0.004)(X).force)


def test_a_folder_without_an_energy_is_refused(tmp_path, run_folder, monkeypatch):
    with pytest.raises(InputError, match="is missing"):
        ReplicaForce(tmp_path / "gone")
    direct = replace(load_model(run_folder), score=untrained("graph_transformer_direct"))
    monkeypatch.setattr(replicas, "load_model", lambda path: direct)
    with pytest.raises(InputError, match="direct network"):
        ReplicaForce(tmp_path)


@pytest.fixture(scope="module")
def context(run_folder):
    """An OpenMM context of X."""
    openmm = needs("openmm", "openmm")
    from scorefield.engines.openmm import create_system

    integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.002)
    integrator.setRandomNumberSeed(1)
    system = create_system(run_folder, replicas=REPLICAS)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(X.astype(float).reshape(-1, 3))
    return context


def state(context):
    found = context.getState(energy=True, forces=True, positions=True)
    return (
        found.getPotentialEnergy()._value,
        found.getForces(asNumpy=True)._value,
        found.getPositions(asNumpy=True)._value,
    )


def test_openmm_feels_the_force_field_in_every_replica(context, run_folder, ours):
    energy, force, _ = state(context)
    assert energy == pytest.approx(ours[0].sum(), rel=1e-5)
    np.testing.assert_allclose(force.reshape(X.shape), ours[1], atol=1e-5 * np.abs(ours[1]).max())
    masses = [context.getSystem().getParticleMass(i)._value for i in range(REPLICAS * N)]
    np.testing.assert_allclose(masses, np.tile(load_model(run_folder).masses, REPLICAS))


def test_openmm_takes_the_system_from_xml(context):
    import openmm

    text = openmm.XmlSerializer.serialize(context.getSystem())
    again = openmm.Context(openmm.XmlSerializer.deserialize(text), openmm.VerletIntegrator(1e-3), context.getPlatform())
    again.setPositions(X.astype(float).reshape(-1, 3))
    np.testing.assert_array_equal(state(again)[1], state(context)[1])


def test_openmm_goes_on_from_a_checkpoint(context):
    context.setVelocitiesToTemperature(300, 1)
    saved = context.createCheckpoint()
    context.getIntegrator().step(5)
    first = state(context)[2]
    context.loadCheckpoint(saved)
    context.getIntegrator().step(5)
    np.testing.assert_array_equal(state(context)[2], first)
    context.setPositions(X.astype(float).reshape(-1, 3))


def test_the_openmm_topology_has_a_chain_a_replica(run_folder):
    needs("openmm", "openmm")
    from scorefield.engines.openmm import create_force, create_topology

    top = create_topology(run_folder, 3)
    assert (top.getNumChains(), top.getNumAtoms()) == (3, 3 * N)
    assert top.getNumBonds() == 3 * len(tiny.MOLECULE.bonds)
    with pytest.raises(InputError, match="1 or more"):
        create_force(run_folder, replicas=0)


def test_openmm_ml_knows_it_by_name(run_folder, ours):
    openmm, openmmml = needs("openmm", "openmm"), needs("openmmml", "openmmml")
    from scorefield.engines.openmm import create_topology

    system = openmmml.MLPotential("scorefield", run=run_folder).createSystem(create_topology(run_folder, REPLICAS))
    again = openmm.Context(system, openmm.VerletIntegrator(1e-3), openmm.Platform.getPlatformByName("Reference"))
    again.setPositions(X.astype(float).reshape(-1, 3))
    assert state(again)[0] == pytest.approx(ours[0].sum(), rel=1e-5)
    np.testing.assert_allclose(state(again)[1].reshape(X.shape), ours[1], atol=1e-5 * np.abs(ours[1]).max())
    assert system.getParticleMass(0)._value > 0
    with pytest.raises(InputError, match="which model"):
        openmmml.MLPotential("scorefield")


def test_ase_has_electronvolts_and_angstroms(run_folder, ours):
    units = needs("ase", "ase").units
    from scorefield.engines.ase import create_atoms, create_calculator

    calculator, found = create_calculator(run_folder), []
    for x in X:
        atoms = create_atoms(run_folder, x)
        atoms.calc = calculator
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    to_ours = units.mol / units.kJ
    assert_same([e * to_ours for e, _ in found], np.array([f * to_ours * 10 for _, f in found]), ours)
    np.testing.assert_allclose(atoms.get_masses(), load_model(run_folder).masses)
    atoms.pbc = True
    with pytest.raises(InputError, match="periodic"):
        atoms.get_forces()


def ask(server, x):
    """What an i-PI server asks for, and gets."""
    with server:
        header = lambda word: server.sendall(word.ljust(12))
        header(b"STATUS")
        assert server.recv(12).strip() == b"READY"
        header(b"INIT")
        server.sendall(struct.pack("=2i", 0, 3) + b"abc")
        header(b"POSDATA")
        server.sendall(bytes(144) + struct.pack("=i", len(x)) + (x / 0.0529177210903).astype(float).tobytes())
        header(b"STATUS")
        assert server.recv(12, socket.MSG_WAITALL).strip() == b"HAVEDATA"
        header(b"GETFORCE")
        answer = server.recv(12 + 8 + 4 + 24 * len(x) + 72 + 4, socket.MSG_WAITALL)
        header(b"EXIT")
    assert answer[:12].strip() == b"FORCEREADY"
    energy, n_atoms = struct.unpack("=di", answer[12:24])
    return energy, np.frombuffer(answer[24 : 24 + 24 * n_atoms]).reshape(n_atoms, 3)


def test_ipi_has_atomic_units(run_folder, ours):
    ends, counts = socket.socketpair(), []
    field = ReplicaForce(run_folder)
    thread = threading.Thread(target=lambda: counts.append(ipi_engine.serve(ends[1], field)))
    thread.start()
    energy, force = ask(ends[0], X[0])
    thread.join(10)
    assert counts == [1]
    hartree, bohr = 2625.4996394799, 0.0529177210903
    np.testing.assert_allclose(force * hartree / bohr, ours[1][0], atol=1e-5 * np.abs(ours[1]).max())
    assert energy * hartree == pytest.approx(ours[0][0], rel=1e-5)


def test_ipi_says_what_is_wrong(run_folder, tmp_path):
    with pytest.raises(InputError, match="no i-PI server answers"):
        ipi_engine.drive(run_folder, unix="nobody-is-there")
    a, b = socket.socketpair()
    with a, b:
        a.sendall(b"POSDATA".ljust(12) + bytes(144) + struct.pack("=i", 7))
        with pytest.raises(InputError, match="simulates 7 atoms"):
            ipi_engine.serve(b, ReplicaForce(run_folder))


def test_jax_md_gets_a_function_of_positions(run_folder, ours):
    energy, masses = energy_function(run_folder)
    found = jax.jit(jax.vmap(lambda R: (energy(R, neighbor=None), -jax.grad(energy)(R))))(jnp.asarray(X))
    assert_same(*found, ours)
    np.testing.assert_allclose(masses, load_model(run_folder).masses)


@pytest.mark.parametrize(
    ("name", "package", "words"),
    [
        ("openmm_replicas", "openmm", ("--replicas", "10", "--steps", "5")),
        ("openmm_metadynamics", "openmm", ("--ns", "0.0001")),
        ("ase_langevin", "ase", ("--steps", "5")),
        ("jax_md_langevin", "jax_md", ("--steps", "5")),
        ("ipi_langevin", "ipi", ("--steps", "3", "-o", "OUT")),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_examples_run(name, package, words, run_folder, tmp_path, capsys):
    needs(package, package)
    argv = [name, str(run_folder), *(w.replace("OUT", str(tmp_path / "out")) for w in words)]
    with mock.patch.object(sys, "argv", argv):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out
