"""Model folders: what is saved is what is read, and what was changed is refused."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from agents.hedgers.hedger import Desk
from agents.hedgers.learned import Learned
from agents.hedgers.model_file import Model, load, plain, save
from agents.hedgers.network import Network
from sim.errors import ConfigError, InputError


def network(activation="silu", squash="tanh", widths=(5, 16, 16, 2), seed=0):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(b, a)).astype(np.float32) for a, b in pairwise(widths)]
    return Network(
        weights, [rng.normal(size=len(w)).astype(np.float32) for w in weights], activation, squash
    )


@pytest.fixture
def folder(tmp_path, cao):
    place = tmp_path / "model"
    save(place, Model(network(), cao.worlds(1, 0).describe(), {"algorithm": "none"}))
    return place


@pytest.mark.parametrize("activation", ["silu", "tanh", "relu"])
@pytest.mark.parametrize("squash", ["tanh", "clip"])
def test_a_network_says_what_torch_says(activation, squash):
    torch = pytest.importorskip("torch", reason="torch, which trains policies, is not installed")
    it = network(activation, squash)
    between = {"silu": torch.nn.SiLU, "tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[activation]
    layers = []
    for weight, bias in zip(it.weights, it.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
        layers += [linear, between()]
    layers[-1] = torch.nn.Tanh() if squash == "tanh" else torch.nn.Hardtanh()
    x = np.random.default_rng(1).normal(size=(5000, 5)).astype(np.float32)
    with torch.no_grad():
        expected = torch.nn.Sequential(*layers)(torch.from_numpy(x)).numpy()
    # pre-activations are of size 10 to 100 here, so that 1e-6 is relative to what is rounded
    np.testing.assert_allclose(it(x), expected, atol=1e-5)
    small = Network([w * np.float32(0.2) for w in it.weights], it.biases, activation, squash)
    for layer, weight in zip(layers[::2], small.weights, strict=True):
        layer.weight.data = torch.from_numpy(weight)
    with torch.no_grad():
        expected = torch.nn.Sequential(*layers)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(small(x), expected, atol=1e-6)


def test_what_is_saved_is_read_back(folder, cao):
    model = load(folder)
    x = np.random.default_rng(2).normal(size=(100, 5)).astype(np.float32)
    assert (model.network(x) == network()(x)).all()
    assert model.environment == plain(cao.worlds(1, 0).describe())
    assert model.trained == {"algorithm": "none"}


def test_changed_weights_are_refused(folder):
    with np.load(folder / "weights.npz") as found:
        arrays = dict(found)
    arrays["bias_0"][0] += 1e-6
    np.savez(folder / "weights.npz", **arrays)
    with pytest.raises(InputError, match="SHA-256 differ"):
        load(folder)


def test_pickled_objects_are_never_loaded(folder):
    np.savez(folder / "weights.npz", weight_0=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="cannot be read as plain arrays"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda about: about.pop("weights_sha256"), "lacks weights_sha256"),
        (lambda about: about.update(format=99), "format 99"),
        (lambda about: about["network"].update(activation="exp"), "activation must be one of"),
        (lambda about: about["network"].update(widths=[5, 2]), "must hold 1 layers"),
    ],
)
def test_a_changed_description_is_refused(folder, change, said):
    about = json.loads((folder / "model.json").read_text())
    change(about)
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=said):
        load(folder)


def test_files_that_are_no_model_are_refused(tmp_path, folder):
    with pytest.raises(InputError, match="no model at"):
        load(tmp_path / "nowhere")
    (folder / "model.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        load(folder)
    (folder / "model.json").write_text("[1]")
    with pytest.raises(InputError, match="lacks"):
        load(folder)


def test_a_damaged_archive_is_refused(folder):
    whole = (folder / "weights.npz").read_bytes()
    (folder / "weights.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as plain arrays"):
        load(folder)


def test_another_environment_is_refused_by_name(cao):
    model = Model(network(), cao.worlds(1, 0).describe(), {})
    other = cao.worlds(1, 0, ["moneyness", "time_left", "holding", "delta", "gamma"])
    with pytest.raises(InputError, match=r"trained on the fields moneyness, .* cost, and this"):
        Learned(model=model).bind(Desk.of(other.describe()))
    terms = replace(cao.terms, action=replace(cao.terms.action, width=0.1))
    wide = replace(cao, terms=terms).worlds(1, 0)
    with pytest.raises(InputError, match=r"action\.width = 0\.5, and this environment has 0\.1"):
        Learned(model=model).bind(Desk.of(wide.describe()))
    narrow = Model(network(widths=(4, 8, 2)), cao.worlds(1, 0).describe(), {})
    with pytest.raises(InputError, match="takes 4 numbers and gives 2"):
        Learned(model=narrow).bind(Desk.of(cao.worlds(1, 0).describe()))
    with pytest.raises(ConfigError, match="a path or a model, and not both"):
        Learned()


def test_other_terms_are_told_and_not_refused(cao):
    hedger = Learned(model=Model(network(), cao.worlds(1, 0).describe(), {}))
    terms = replace(cao.terms, costs=replace(cao.terms.costs, proportional=0.002))
    hedger.bind(Desk.of(replace(cao, terms=terms).worlds(1, 0).describe()))
    assert hedger.differences() == {"costs.proportional": (0.01, 0.002)}
