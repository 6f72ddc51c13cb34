"""The equivariant transformer: the shipped suite, and parity with the published implementations."""

import pytest
import torch
from safetensors.torch import load_file

from molspectra.encoders import EquivariantTransformer
from molspectra.encoders.equivariant_transformer import WhitenedVectorNorm
from molspectra.geometry import edge_geometry, radius_graph
from molspectra.testing import EncoderSuite, random_molecules, random_orthogonal
from tests.oracles.equivariant_transformer import explicit_transformer
from tests.published import PublishedTransformer


class TransformerSuite(EncoderSuite):
    # Vectors are 0 ahead of the first layer, which multiplies them by these weights.
    parameters_without_gradient = frozenset({"layers.0.vec_proj.weight"})

    def make_encoder_to_compile(self):
        return self.make_encoder(num_layers=1)


class TestRMS(TransformerSuite):
    def make_encoder(self, num_layers=2):
        return EquivariantTransformer(16, num_layers, num_heads=4, num_rbf=8)


class TestRMSInEveryLayer(TransformerSuite):
    def make_encoder(self, num_layers=2):
        return EquivariantTransformer(16, num_layers, num_heads=4, num_rbf=8, norm_every_layer=True)


class TestWhitened(TransformerSuite):
    def make_encoder(self, num_layers=2):
        return EquivariantTransformer(16, num_layers, num_heads=4, num_rbf=8, vector_norm="whitened")


class TestWhitenedInEveryLayer(TransformerSuite):
    test_compile = None  # that of TestWhitened says as much in half the time

    def make_encoder(self, num_layers=3):
        return EquivariantTransformer(16, num_layers, 4, 8, vector_norm="whitened", norm_every_layer=True)


class TestWithoutVectorNorm(TransformerSuite):
    def make_encoder(self, num_layers=2):
        return EquivariantTransformer(16, num_layers, num_heads=2, num_rbf=8, vector_norm=None, max_z=118)


class TestCheckpointed(TransformerSuite):
    def make_encoder(self, num_layers=2):
        return EquivariantTransformer(16, num_layers, num_heads=4, num_rbf=8, norm_every_layer=True, checkpoint=True)


class TestReleased(TransformerSuite):
    """The released arithmetic keeps its promises, but for the smoothness at the cutoff, when nothing is whitened."""

    smooth_at_cutoff = False

    def make_encoder(self, num_layers=2):
        return EquivariantTransformer(16, num_layers, num_heads=4, num_rbf=8, vector_norm=None, as_released=True)


VARIANTS = ("molspectra_default", "molspectra_md17", "molspectra_md17_novecnorm", "coord_whitened")
BATCHES = ("noisy4", "clean4", "linear", "linear_axis", "lone", "mixed6")


@pytest.fixture(scope="module")
def published(reference):
    return PublishedTransformer(reference / "torchmd_et")


def tolerances(variant: str, batch: str, dtype: torch.dtype) -> dict[str, float]:
    """Absolute for x and vec, relative to the maximum for grad_pos; None where the release is only rounding noise.

    The released whitening amplifies rounding up to 220-fold, twice in `molspectra_default`; on planar, linear and
    symmetric molecules its vectors and gradients mean nothing in float32.
    """
    if batch == "lone":
        return {"x": 1e-6, "vec": 1e-6, "grad_pos": 1e-6}
    double = dtype == torch.float64
    if variant == "molspectra_default":
        if batch == "noisy4":
            return {"x": 1e-9, "vec": 1e-9, "grad_pos": 1e-9} if double else {"x": 1e-4, "vec": 5e-3, "grad_pos": 1e-3}
        return {"x": 1e-10, "vec": 1e-6} if double else {"x": 1e-3}
    if double:
        return {"x": 1e-9, "vec": 1e-9, "grad_pos": 1e-6}
    return {"x": 1e-5, "vec": 1e-3, "grad_pos": 2e-2}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_released_mode_gives_the_published_numbers(published, variant, batch, dtype):
    name = f"{batch}.{'f64' if dtype == torch.float64 else 'f32'}"
    expected = load_file(published.folder / f"{variant}.outputs.safetensors")
    z, pos, molecule = published.inputs(batch, dtype)
    x, vec = published.encoder(variant, dtype)(z, pos, molecule)
    (grad_pos,) = torch.autograd.grad(x.square().sum() + vec.square().sum(), pos)
    actual = {"x": x, "vec": vec, "grad_pos": grad_pos}
    for key, tolerance in tolerances(variant, batch, dtype).items():
        target = expected[f"{name}.{key}"]
        scale = max(1.0, float(target.abs().max())) if key == "grad_pos" else 1.0
        assert (actual[key] - target).abs().max() <= tolerance * scale, key


def test_released_edges(published):
    """The neighbor list, lengths, directions and radial basis of the published implementation."""
    trace = load_file(published.folder / "molspectra_md17.outputs.safetensors")
    encoder = published.encoder("molspectra_md17", torch.float32)
    z, pos, molecule = published.inputs("noisy4", torch.float32)
    edge_index = radius_graph(pos, molecule, encoder.cutoff, loop=True)
    torch.testing.assert_close(edge_index, trace["noisy4.f32.trace.edge_index"])
    distance, direction = edge_geometry(pos, edge_index)
    torch.testing.assert_close(distance, trace["noisy4.f32.trace.edge_weight"])
    torch.testing.assert_close(direction * distance.unsqueeze(1), trace["noisy4.f32.trace.edge_vec_raw"])
    torch.testing.assert_close(encoder.radial_basis(distance), trace["noisy4.f32.trace.edge_attr"])


@pytest.mark.parametrize("vector_norm", ["whitened", None])
@pytest.mark.parametrize("as_released", [True, False])
@pytest.mark.parametrize("norm_every_layer", [True, False])
def test_equals_its_equations_written_out(vector_norm, as_released, norm_every_layer):
    encoder = EquivariantTransformer(
        16, 3, 4, 8, vector_norm=vector_norm, norm_every_layer=norm_every_layer, as_released=as_released
    ).double()
    z, pos, batch = random_molecules((7, 5, 6), torch.float64)
    pos = (1.5 * pos).requires_grad_()  # far enough apart for the cutoff to matter
    weights = torch.randn(2, 16, dtype=torch.float64)
    results = []
    for scalars, vectors in (encoder(z, pos, batch), explicit_transformer(encoder, z, pos, batch)):
        (grad,) = torch.autograd.grad((scalars * weights[0]).sum() + (vectors.square() * weights[1]).sum(), pos)
        results.append((scalars, vectors, grad))
    for actual, expected in zip(*results, strict=True):
        # The backward of the SVD is NaN at equal singular values, which an atom with few neighbors has; ours is not.
        assert actual.isfinite().all()
        comparable = expected.isfinite()
        assert comparable.double().mean() > 0.3
        torch.testing.assert_close(actual[comparable], expected[comparable], rtol=1e-7, atol=1e-9)


@pytest.mark.usefixtures("float32_weights")
def test_checkpointing_changes_nothing_but_the_memory():
    z, pos, batch = random_molecules((7, 5))
    results, saved = [], []
    for checkpoint in (False, True):
        torch.manual_seed(0)
        encoder = EquivariantTransformer(16, 3, 4, 8, norm_every_layer=True, checkpoint=checkpoint)
        numbers = []
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda t, n=numbers: n.append(t.numel()) or t, lambda t: t)
        with hooks:
            scalars, vectors = encoder(z, pos, batch)
        results.append((scalars, torch.autograd.grad(scalars[:, 0].sum() + vectors.sum(), list(encoder.parameters()))))
        saved.append(sum(numbers))
    torch.testing.assert_close(results[1], results[0])
    assert saved[1] < 0.5 * saved[0]


def test_released_whitening_breaks_the_symmetry_that_the_default_keeps():
    """Why the default differs: ε·diag(1, 2, 3) ties the vectors to the axes."""
    z, pos, batch = random_molecules((7, 6), torch.float64)
    turn = random_orthogonal(torch.float64)
    errors = {}
    for as_released in (True, False):
        torch.manual_seed(1)
        encoder = EquivariantTransformer(
            32,
            num_layers=3,
            num_heads=4,
            num_rbf=8,
            vector_norm="whitened",
            norm_every_layer=True,
            as_released=as_released,
        ).double()
        straight, turned = encoder(z, pos, batch).vectors, encoder(z, pos @ turn.T, batch).vectors
        errors[as_released] = (turned - turn @ straight).square().mean().sqrt() / straight.square().mean().sqrt()
    assert errors[True] > 1e-3
    assert errors[False] < 1e-10


def test_whitening_equals_the_eigendecomposition():
    vectors = torch.randn(20, 3, 64, dtype=torch.float64) * torch.rand(20, 3, 1, dtype=torch.float64)
    centered = vectors - vectors.mean(dim=2, keepdim=True)
    covariance = centered @ centered.mT / 64
    values, axes = torch.linalg.eigh(covariance + 1e-3 * torch.eye(3, dtype=torch.float64))
    expected = axes @ ((axes.mT @ centered) / values.sqrt().unsqueeze(-1))
    torch.testing.assert_close(WhitenedVectorNorm(64).double()(vectors), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_channels": 10, "num_heads": 4}, "multiple of num_heads"),
        ({"max_z": 119}, "max_z must lie in 1..118"),
        ({"vector_norm": "layer"}, 'vector_norm must be "rms"'),
        ({"as_released": True}, 'no "rms" norm'),
        ({"cutoff": 0.0}, "cutoff must be positive"),
        ({"num_rbf": 1}, "num_rbf must be at least 2"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EquivariantTransformer(**({"hidden_channels": 16, "num_layers": 1, "num_heads": 4} | arguments))


@pytest.mark.usefixtures("float32_weights")
def test_nan_positions_are_not_hidden_where_values_are_not_checked(monkeypatch):
    monkeypatch.setattr("molspectra._validation.molecules.values_are_free", lambda tensor: False)
    z, pos, batch = random_molecules()
    pos[0] = torch.nan
    scalars = EquivariantTransformer(8, 1, 2, 4)(z, pos, batch).scalars
    assert scalars[batch == 0].isnan().all()
    assert scalars[batch != 0].isfinite().all()


def test_every_element_has_an_embedding():
    encoder = EquivariantTransformer(8, 1, 2, 4, max_z=118)
    z = torch.arange(1, 119)
    assert encoder(z, torch.randn(118, 3), torch.arange(118)).scalars.unique(dim=0).shape[0] == 118
    with pytest.raises(ValueError, match="z must lie in 1..100"):
        EquivariantTransformer(8, 1, 2, 4)(torch.tensor([101]), torch.zeros(1, 3))
