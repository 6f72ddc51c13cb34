"""Tests that every encoder should pass, ours and yours.

Inherit :class:`EncoderSuite` in a test module, say how to build the encoder, and run pytest::

    class TestMyEncoder(EncoderSuite):
        def make_encoder(self):
            return MyEncoder(channels=16)

Needs the extra `test` (pytest); register the markers `cuda` and `compile` in your pytest configuration.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping
import pytest
import torch
from e3nn import o3
from torch import Tensor

from molspectra.features import AtomFeatures
from molspectra.testing.compile import assert_compiles

Encoder = Callable[..., AtomFeatures]

# Single molecules at the edge of what an encoder meets: elements, and positions in Å.
EDGE_MOLECULES: dict[str, tuple[list[int], list[list[float]]]] = {
    "lone atom": ([11], [[0.3, -0.2, 0.1]]),
    "diatomic": ([1, 1], [[0.0, 0.0, 0.0], [0.43, 0.43, 0.43]]),
    "linear": ([8, 6, 8], [[0.67, 0.67, 0.67], [0.0, 0.0, 0.0], [-0.67, -0.67, -0.67]]),
    "planar": ([6, 8, 1, 1], [[0.0, 0.0, 0.0], [0.9, 0.8, 0.0], [0.2, -1.1, 0.0], [-1.0, 0.4, 0.0]]),
    "tetrahedral": (
        [6, 1, 1, 1, 1],
        [[0, 0, 0], [0.63, 0.63, 0.63], [-0.63, -0.63, 0.63], [-0.63, 0.63, -0.63], [0.63, -0.63, -0.63]],
    ),
    "coincident": ([6, 8, 1], [[0.0, 0.0, 0.0], [1.2, 0.0, 0.0], [1.2, 0.0, 0.0]]),
    "apart": ([10, 18], [[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]]),
}


def random_orthogonal(dtype: torch.dtype, determinant: int = 1) -> Tensor:
    """A uniformly random rotation (determinant 1) or improper rotation (-1), (3, 3)."""
    q, r = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    q = q * r.diagonal().sign()
    return (q * (determinant * torch.linalg.det(q)).sign()).to(dtype)


def random_molecules(
    sizes: tuple[int, ...] = (5, 1, 8), dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Random light atoms at chemically sensible distances: z (N,), pos (N, 3) in Å, batch (N,)."""
    z = torch.randint(1, 10, (sum(sizes),))
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    # Distinct points of a 1.2 Å grid, shaken a little: no two atoms come close to each other.
    grid = torch.cartesian_prod(*[torch.arange(3)] * 3)
    points = torch.cat([grid[torch.randperm(27)[:size]] for size in sizes])
    return z, (1.2 * points + 0.3 * torch.rand(points.shape)).to(dtype), batch


def assert_close(actual: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Compare at an absolute tolerance, scaled by the size of what is expected where that exceeds 1."""
    actual, expected = actual.detach(), expected.detach()
    scale = max(1.0, float(expected.abs().max()))
    error = float((actual - expected).abs().max()) / scale
    assert error <= tolerance, f"{what}: off by {error:.2e} (relative to {scale:.2g}); tolerance {tolerance:.0e}"


def by_degree(atoms: AtomFeatures) -> list[Tensor]:
    """The features of each degree that there is, (N, 2l + 1, F)."""
    return [atoms.degree(degree) for degree in range(atoms.l_max + 1)]


def assert_features_close(actual: AtomFeatures, expected: AtomFeatures, tolerance: float, what: str) -> None:
    """Compare features of the same degrees, each by `assert_close`."""
    for degree, (one, other) in enumerate(zip(by_degree(actual), by_degree(expected), strict=True)):
        assert_close(one, other, tolerance, f"{what}, degree {degree}")


def assert_equivariant(encoder: Encoder, z: Tensor, pos: Tensor, batch: Tensor | None, tolerance: float) -> None:
    """Check that features turn with the molecule as their degree says, under rotation, reflection and translation."""
    atoms = encoder(z, pos, batch)
    for determinant in (1, -1):
        turn = random_orthogonal(torch.float64, determinant)
        moved = encoder(z, pos @ turn.to(pos.dtype).T + torch.randn(3, dtype=pos.dtype), batch)
        turned = [wigner(degree, turn).to(pos.dtype) @ features for degree, features in enumerate(by_degree(atoms))]
        expected = AtomFeatures(turned[0].squeeze(1), turned[1] if len(turned) > 1 else None, tuple(turned[2:]))
        kind = "rotation" if determinant == 1 else "reflection"
        assert_features_close(moved, expected, tolerance, f"features under {kind}")


def wigner(degree: int, turn: Tensor) -> Tensor:
    """How the components of a degree turn under an orthogonal matrix, (2l + 1, 2l + 1), float64; parity (-1)^l.

    Solved for, exactly enough, from Y(R x) = D Y(x) at random directions x.
    """
    directions = torch.randn(64, 3, dtype=torch.float64)
    harmonics, turned = (o3.spherical_harmonics(degree, x, normalize=True) for x in (directions, directions @ turn.T))
    return torch.linalg.lstsq(harmonics, turned).solution.T


@contextmanager
def without_shape_checks() -> Iterator[None]:
    """Switch jaxtyping's checks of annotated shapes off, where pytest runs with them.

    For input that is wrong on purpose, whose error message is under test, and for code to be compiled.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


class EncoderSuite:
    """What a pre-training loop, a force field and a batch loader rely on, as inheritable pytest cases.

    Override `make_encoder`, and an attribute where your encoder promises less.
    """

    equivariance_tolerance = {torch.float32: 1e-5, torch.float64: 1e-10}
    """Largest error relative to the features' size (or 1)."""
    compile_backend = "aot_eager"
    """Backend for the compile test; "inductor" generates code too, in up to minutes."""
    compile_fullgraph = True
    """Whether the encoder compiles without a graph break."""
    smooth_at_cutoff = True
    """Whether features change smoothly when a pair crosses the cutoff."""
    twice_differentiable = True
    """Whether forces can be trained on."""

    def make_encoder(self) -> Any:
        """A small encoder, newly initialised."""
        raise NotImplementedError("Override make_encoder: return a small instance of the encoder under test.")

    @pytest.fixture
    def encoder(self) -> Any:
        torch.manual_seed(0)
        return self.make_encoder().eval()

    def test_contract(self, encoder: Any) -> None:
        z, pos, batch = random_molecules()
        atoms = encoder(z, pos, batch)
        assert isinstance(atoms, AtomFeatures)
        assert atoms.scalars.shape == (len(z), encoder.out_channels)
        for degree, features in enumerate(by_degree(atoms)):
            assert features.shape == (len(z), 2 * degree + 1, encoder.out_channels)
        assert encoder.cutoff > 0
        assert_close(encoder(z[:5], pos[:5]).scalars, atoms.scalars[:5], 1e-5, "batch=None for one molecule")

    def test_context_reaches_the_features(self, encoder: Any) -> None:
        z, pos, batch = random_molecules()
        plain = encoder(z, pos, batch).scalars
        zero = torch.zeros(len(z), encoder.out_channels)
        assert_close(encoder(z, pos, batch, context=zero).scalars, plain, 1e-6, "a context of zeros")
        assert not torch.allclose(encoder(z, pos, batch, context=zero + torch.randn_like(zero)).scalars, plain)
        with without_shape_checks(), pytest.raises(ValueError, match="context"):
            encoder(z, pos, batch, context=zero[:1])

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_equivariance(self, encoder: Any, dtype: torch.dtype) -> None:
        for _ in range(3):
            assert_equivariant(encoder.to(dtype), *random_molecules(dtype=dtype), self.equivariance_tolerance[dtype])

    @pytest.mark.parametrize("name", EDGE_MOLECULES)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_equivariance_of_edge_molecules(self, encoder: Any, name: str, dtype: torch.dtype) -> None:
        z, pos = edge_molecule(name, dtype)
        assert_equivariant(encoder.to(dtype), z, pos, None, self.equivariance_tolerance[dtype])

    def test_permutation_of_atoms(self, encoder: Any) -> None:
        z, pos, _ = random_molecules((9,), torch.float64)
        encoder.double()
        order = torch.randperm(len(z))
        permuted, atoms = encoder(z[order], pos[order]), encoder(z, pos)
        assert_features_close(permuted, atoms.select(order), 1e-10, "features of permuted atoms")

    def test_permutation_of_molecules_and_batch_size(self, encoder: Any) -> None:
        z, pos, batch = random_molecules((4, 6, 1, 3), torch.float64)
        encoder.double()
        together = encoder(z, pos, batch)
        for molecule in reversed(range(4)):
            of_molecule = batch == molecule
            alone, batched = encoder(z[of_molecule], pos[of_molecule]), together.select(of_molecule.nonzero()[:, 0])
            assert_features_close(alone, batched, 1e-10, f"molecule {molecule} alone and in a batch")

    def test_no_gradient_across_molecules(self, encoder: Any) -> None:
        z, pos, batch = random_molecules()
        pos.requires_grad_()
        energy_of_last = self._energies(encoder, z, pos, batch)[-1]
        (grad,) = torch.autograd.grad(energy_of_last, pos)
        assert grad[batch == 2].abs().max() > 0
        assert grad[batch != 2].abs().max() == 0

    def test_smooth_at_the_cutoff(self, encoder: Any) -> None:
        if not self.smooth_at_cutoff or math.isinf(encoder.cutoff):
            pytest.skip("smooth_at_cutoff is False for this encoder, or it has no cutoff")
        encoder.double()
        z = torch.tensor([6, 8, 7])
        features = []
        for step in (-1e-7, 1e-7):
            pos = torch.tensor([[0, 0, 0], [1.2, 0, 0], [encoder.cutoff + step, 0, 0]], dtype=torch.float64)
            features.append(encoder(z, pos))
        assert_features_close(features[1], features[0], 1e-6, "features across the cutoff")

    @pytest.mark.parametrize("name", EDGE_MOLECULES)
    def test_edge_molecules_are_finite(self, encoder: Any, name: str) -> None:
        z, pos = edge_molecule(name)
        # Beside an ordinary molecule: nothing may spread to it.
        ordinary_z, ordinary_pos, _ = random_molecules((6,))
        z, pos = torch.cat([z, ordinary_z]), torch.cat([pos, ordinary_pos]).requires_grad_()
        batch = torch.cat([torch.zeros(len(z) - 6), torch.ones(6)]).long()
        atoms = encoder(z, pos, batch)
        assert all(feature.isfinite().all() for feature in by_degree(atoms))
        (grad,) = torch.autograd.grad(self._energies(encoder, z, pos, batch).sum(), pos, create_graph=True)
        assert grad.isfinite().all()
        if self.twice_differentiable:
            (grad - 0.1).square().sum().backward()
            assert pos.grad is not None
            assert pos.grad.isfinite().all()
            assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())

    def test_forces_against_finite_differences(self, encoder: Any) -> None:
        z, pos, batch = random_molecules((3, 2), torch.float64)
        encoder.double()
        assert torch.autograd.gradcheck(lambda p: self._energies(encoder, z, p, batch), pos.requires_grad_())

    def test_second_derivatives_against_finite_differences(self, encoder: Any) -> None:
        if not self.twice_differentiable:
            pytest.skip("twice_differentiable is False for this encoder")
        z, pos, batch = random_molecules((3,), torch.float64)
        encoder.double()
        assert torch.autograd.gradgradcheck(lambda p: self._energies(encoder, z, p, batch), pos.requires_grad_())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
    def test_autocast(self, encoder: Any, dtype: torch.dtype) -> None:
        z, pos, batch = random_molecules()
        pos = pos.to(dtype)
        context = torch.randn(len(z), encoder.out_channels)
        exact = encoder(z, pos.float(), batch, context=context)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            atoms = encoder(z, pos, batch, context=context.bfloat16())
            same = encoder(z, pos.float(), batch, context=context.bfloat16())
        assert all(feature.dtype == torch.float32 for feature in by_degree(atoms))
        assert_features_close(atoms, exact, 0.1, "features under autocast(bfloat16)")
        assert_features_close(atoms, same, 1e-6, f"features under autocast(bfloat16), of positions in {dtype}")

    @pytest.mark.compile
    def test_compile(self, encoder: Any) -> None:
        """In one graph for all sizes in training, and in evaluation in another for lone atoms."""
        options: dict[str, Any] = {"backend": self.compile_backend, "fullgraph": self.compile_fullgraph}
        sizes = [(5, 1, 8), (3, 7), (6,), (1, 1), (4, 4, 4, 4, 2), (2,), (1,)]
        calls = [dict(zip(("z", "pos", "batch"), random_molecules(each), strict=True)) for each in sizes]
        with without_shape_checks():
            assert_compiles(encoder.train(), calls[:-1], max_graphs=1, **options)
            with torch.no_grad():
                assert_compiles(encoder.eval(), calls, **options)

    @pytest.mark.cuda
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda(self, encoder: Any) -> None:
        z, pos, batch = random_molecules()
        results = []
        for device in ("cpu", "cuda"):
            encoder.to(device)
            inputs = z.to(device), pos.detach().to(device).requires_grad_(), batch.to(device)
            (forces,) = torch.autograd.grad(self._energies(encoder, *inputs).sum(), inputs[1])
            results.append([*by_degree(encoder(*inputs)), forces])
        for expected, actual in zip(*results, strict=True):
            assert_close(actual.cpu(), expected, 1e-4, "features or forces on CUDA")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda z, pos, batch: (z * 0, pos, batch), "z must lie in 1"),
            (lambda z, pos, batch: (z * 0 + 119, pos, batch), "z must lie in 1"),
            (lambda z, pos, batch: (z, pos * torch.nan, batch), "pos must be finite"),
            (lambda z, pos, batch: (z, pos[:-1], batch), "pos must have shape"),
            (lambda z, pos, batch: (z, pos, batch.flip(0)), "batch must be sorted"),
            (lambda z, pos, batch: (z[:0], pos[:0], batch[:0]), "no atoms"),
        ],
        ids=["z = 0", "z too large", "NaN positions", "shapes differ", "unsorted batch", "empty batch"],
    )
    def test_bad_input_is_refused(self, encoder: Any, change: Callable, message: str) -> None:
        with without_shape_checks(), pytest.raises(ValueError, match=message):
            encoder(*change(*random_molecules()))

    @staticmethod
    def _energies(encoder: Encoder, z: Tensor, pos: Tensor, batch: Tensor) -> Tensor:
        """A rotation-invariant number a molecule, to which every feature contributes."""
        scalars, *others = by_degree(encoder(z, pos, batch))
        # Weighted at random: the plain sum of squares behind a LayerNorm is a constant.
        weights = torch.randn(1 + len(others), scalars.shape[2], generator=torch.Generator().manual_seed(0)).to(scalars)
        per_atom = scalars.squeeze(1) * weights[0]
        for features, weight in zip(others, weights[1:], strict=True):
            per_atom = per_atom + features.square().sum(dim=1) * weight
        return AtomFeatures(per_atom).pool(batch).mean(dim=1)


def edge_molecule(name: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """One of `EDGE_MOLECULES`: z (N,) and pos (N, 3) in Å."""
    z, pos = EDGE_MOLECULES[name]
    return torch.tensor(z), torch.tensor(pos, dtype=dtype)
