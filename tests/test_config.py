import tomllib

import numpy as np
import pytest
import tiny

from scorefield.config import Config, config_from, config_names, difference, load_config
from scorefield.energy.build import resolve, schedule, training_levels
from scorefield.errors import InputError

# arXiv 2302.00600: layers, features, batch, learning rate, steps, standard deviation (nm), force levels
PAPER = {
    "alanine": (2, 96, 1024, 3e-4, 1_000_000, 0.0945, range(8, 21)),
    "chignolin": (3, 64, 512, 4e-4, 1_000_000, 0.3113, [20]),
    "trp_cage": (3, 128, 512, 4e-4, 1_000_000, 0.5082, [15]),
    "bba": (3, 96, 512, 4e-4, 1_500_000, 0.6295, [5]),
    "villin": (3, 128, 512, 4e-4, 2_000_000, 0.6083, [5]),
    "protein_g": (3, 128, 256, 4e-4, 3_000_000, 0.6354, [5]),
}


@pytest.mark.parametrize(("name", "figures"), PAPER.items())
def test_paper_configurations_have_the_published_figures(name, figures):
    config = load_config(f"paper/{name}")
    layers, hidden, batch, rate, steps, std, levels = figures
    energy, training = config.energy, config.training
    assert (energy.kind, energy.layers, energy.hidden, energy.std) == ("graph_transformer", layers, hidden, std)
    assert (training.batch, training.learning_rate, training.steps) == (batch, rate, steps)
    assert (training.final_learning_rate, training.ema, training.rotate) == (1e-5, 0.995, True)
    assert (training.warmup, training.contrast) == (0, 0)
    assert (config.noise.kind, config.noise.threshold) == ("cosine", 100)
    assert (config.sampling.sampler, config.sampling.steps) == ("ancestral", 1000)
    assert config.simulation.level_t in levels
    assert (config.simulation.dt_fs, config.simulation.friction, config.simulation.mass) == (2.0, 1.0, 12.0)


def test_every_builtin_is_listed():
    assert set(config_names()) == {"force_matching", *(f"paper/{name}" for name in PAPER)}


@pytest.mark.parametrize("name", [None, "force_matching", *(f"paper/{name}" for name in PAPER)])
def test_toml_gives_the_same_configuration_back(tmp_path, name):
    config = load_config(name)
    (tmp_path / "c.toml").write_text(config.to_toml())
    assert load_config(tmp_path / "c.toml") == config


def test_sections_without_a_kind_are_the_defaults():
    config = config_from({"energy": {"prior": "none"}, "noise": {"fraction_small": 0.5}}, "here")
    assert (config.energy.kind, config.energy.prior, config.noise.kind) == ("auto", "none", "log_uniform_mixture")
    assert config_from({"energy": {}}, "here") == Config()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("width = 3", "width"),
        ("[training]\nbatchsize = 3", r"training\.batchsize"),
        ("[energie]\nwidth = 3", "energie"),
        ("[training]\nsteps = 0", r"training\.steps"),
        ("[training]\nsteps = -5", r"training\.steps"),
        ("[training]\nsteps = 1.5", r"training\.steps"),
        ("[training]\nlearning_rate = nan", r"training\.learning_rate"),
        ("[training]\nlearning_rate = inf", r"training\.learning_rate"),
        ("[training]\nlearning_rate = -1e-3", r"training\.learning_rate"),
        ("[training]\nema = 1", r"training\.ema"),
        ("[training]\nbatch = 'many'", r"training\.batch"),
        ("[energy]\nkind = 'invariant'\nwidth = 1000000000", r"energy\.invariant\.width"),
        ("[energy]\nwidth = 128", r"energy\.auto\.width"),
        ("[energy]\nkind = 'magic'", "energy"),
        ("[energy]\nkind = 'graph_transformer'\nlayers = 2", r"energy\.graph_transformer\.hidden"),
        ("energy = 5", "energy"),
        ("noise = []", "noise"),
        (
            "[noise]\nsigma_min = 0.1\nsigma_split = 0.03",
            "sigma_min, sigma_split, sigma_large and sigma_max must increase",
        ),
        ("[noise]\nfraction_small = 0.6\nfraction_large = 0.5", "must leave some draws"),
        (
            "[noise]\nsigma_split = 0.03\nsigma_max = 0.02",
            "sigma_min, sigma_split, sigma_large and sigma_max must increase",
        ),
        ("[noise]\nkind = 'cosine'\nthreshold = 1000", r"noise\.cosine\.threshold"),
        ("[simulation]\nlevel_t = 1000", r"simulation\.level_t"),
        ("[simulation]\nlevel_t = -1", r"simulation\.level_t"),
        ("[simulation]\nlevel = 0", r"simulation\.level"),
        ("[simulation]\nlevel = 'best'", r"simulation\.level"),
        ("[energy]\nboundaries = [0.03, 0.01]", "boundaries must increase"),
        ("noise.kind = 'cosine'", "contrast must be 0"),
        (
            "[energy]\nkind='graph_transformer'\nhidden=8\nlayers=1\n[training]\ncontrast=0\nfokker_planck=1",
            "fokker_planck",
        ),
        ("[sampling]\nsampler = 'best'", r"sampling\.sampler"),
        ("seed = -1", "seed"),
        ("seed = 99999999999999999999", "seed"),
        ("seed = 1e400", "seed"),
    ],
)
def test_a_bad_value_is_named(tmp_path, text, names):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(InputError, match=names) as error:
        load_config(tmp_path / "c.toml")
    assert str(error.value).startswith(str(tmp_path / "c.toml"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"[energy", b"\xff\xfe\x00", b"seed = 1\nseed = 2", b"a = " + b"[" * 5000, b"\x00"]
)
def test_what_is_not_toml_is_refused(tmp_path, content):
    (tmp_path / "c.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"c\.toml"):
        load_config(tmp_path / "c.toml")


@pytest.mark.parametrize("name", ["paper/nothing", "", "../paper/alanine", "paper", "."])
def test_a_name_that_is_none_lists_those_there_are(name):
    with pytest.raises(InputError, match="paper/alanine"):
        load_config(name)


def test_the_difference_of_two_configurations_is_said_in_words():
    ours = Config()
    theirs = config_from({"training": {"batch": 17}}, "here").to_toml()
    assert difference(theirs, ours) == "training.batch = 17, not automatic"
    paper = load_config("paper/bba")
    assert difference(paper.to_toml(), ours).startswith("energy.kind = graph_transformer, not auto")
    assert tomllib.loads(paper.to_toml())["noise"] == {"kind": "cosine", "threshold": 100}


@pytest.mark.parametrize("kind", ["invariant", "beads"])
@pytest.mark.parametrize("large", [0.1, 0.4, 0.9])
def test_what_follows_from_a_stated_share_of_large_noise_leaves_a_share_for_all(tmp_path, kind, large):
    stated = config_from({"energy": {"kind": kind}, "noise": {"fraction_large": large}}, "test")
    found = resolve(stated, tiny.MOLECULE, tiny.positions(100, 0))
    (tmp_path / "config.toml").write_text(found.to_toml())
    assert load_config(tmp_path / "config.toml") == found
    assert found.noise.fraction_large == large
    assert min(training_levels(found, 0.3).shares) > 0.01


def test_the_average_of_a_short_training_forgets_where_it_began():
    ema = lambda **training: (
        resolve(config_from({"training": training}, "test"), tiny.MOLECULE, tiny.positions(100, 0)).training.ema
    )
    assert ema() == 0.999
    assert ema(steps=1000) ** 1000 < 1e-4
    assert ema(steps=5) == 0
    assert ema(steps=1000, ema=0.999) == 0.999


def test_the_last_level_of_the_sampler_is_the_one_that_is_stated():
    network = {"kind": "graph_transformer_direct", "hidden": 8, "layers": 1}
    given = {"energy": network, "training": {"contrast": 0}, "sampling": {"sigma_min": 0.02}}
    x = tiny.positions(100, 0)
    assert resolve(config_from(given, "test"), tiny.MOLECULE, x).sampling.sigma_min == 0.02
    unsaid = resolve(config_from(given | {"sampling": {}}, "test"), tiny.MOLECULE, x)
    spread = float(np.std(x, dtype=np.float64))
    assert unsaid.sampling.sigma_min == pytest.approx(float(schedule(unsaid, spread).sigmas[0]))
