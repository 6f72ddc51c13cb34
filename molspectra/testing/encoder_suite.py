"""Tests that every encoder should pass, ours and yours.

Inherit :class:`EncoderSuite` in a test module, build the encoder in `make_encoder`, and run pytest::

    class TestMyEncoder(EncoderSuite):
        def make_encoder(self):
            return MyEncoder(channels=16)

The suite needs the extra `test` (pytest). Register the markers `cuda` and `compile` in your pytest configuration.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.layers.hook_point import HookPoint
from molspectra.testing.comparison import assert_close, assert_features_close, by_degree
from molspectra.testing.compile import assert_compiles
from molspectra.testing.molecules import EDGE_MOLECULES, edge_molecule, random_molecules
from molspectra.testing.shape_checks import without_shape_checks
from molspectra.testing.symmetry import assert_equivariant

_TEST_OF_PROMISE = {
    "smooth_at_cutoff": "test_smooth_at_the_cutoff",
    "twice_differentiable": "test_second_derivatives_against_finite_differences",
    "shows_layers": "test_layers_can_be_read",
    "can_be_saved": "test_save_and_load",
}

PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


class EncoderSuite:
    """Guarantees that a pre-training loop, a force field and a batch loader rely on, as inheritable pytest cases.

    Override `make_encoder`, and an attribute where your encoder promises less.
    """

    equivariance_tolerance = {torch.float32: 1e-5, torch.float64: 1e-10}
    """Largest error, relative to the size of the features (or 1)."""
    compile_backend = "aot_eager"
    """Backend of the compile test in training. "inductor" also generates code, which can take minutes."""
    compile_fullgraph = True
    """True if the encoder compiles without a graph break."""
    smooth_at_cutoff = True
    """True if features change smoothly when a pair crosses the cutoff. Set it to False without a cutoff."""
    twice_differentiable = True
    """True if the encoder can be trained on forces."""
    shows_layers = True
    """True if the encoder calls a `molspectra.layers.HookPoint` after each layer."""
    can_be_saved = True
    """True if the encoder and its parts are `molspectra.Configurable`."""
    parameters_without_gradient: frozenset[str] = frozenset()
    """Names of the parameters whose gradient is None or exactly 0: the features do not depend on them."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # A test of something that is not promised is no test of this class, rather than one that is skipped.
        for promise, test in _TEST_OF_PROMISE.items():
            if not getattr(cls, promise):
                setattr(cls, test, None)

    def make_encoder(self) -> Any:
        """Return a small encoder, newly initialized."""
        raise NotImplementedError("Override make_encoder: return a small instance of the encoder under test.")

    def make_encoder_to_compile(self) -> Any:
        """Return an encoder for the compile test, whose time is in proportion to the number of layers."""
        return self.make_encoder()

    @pytest.fixture
    def encoder(self) -> Any:
        torch.manual_seed(0)
        return self.make_encoder().float().eval()

    # Contract

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
        zero = torch.zeros(len(z), encoder.out_channels, dtype=torch.float32)
        assert_close(encoder(z, pos, batch, context=zero).scalars, plain, 1e-6, "a context of zeros")
        assert not torch.allclose(encoder(z, pos, batch, context=zero + torch.randn_like(zero)).scalars, plain)
        with without_shape_checks(), pytest.raises(ValueError, match="context"):
            encoder(z, pos, batch, context=zero[:1])

    def test_layers_can_be_read(self, encoder: Any) -> None:
        seen: list[Tensor] = []
        for module in encoder.modules():
            if isinstance(module, HookPoint):
                module.register_forward_hook(lambda module, inputs, scalars: seen.append(scalars))
        z, pos, batch = random_molecules()
        encoder(z, pos, batch)
        assert seen
        assert all(scalars.shape == (len(z), encoder.out_channels) for scalars in seen)

    def test_a_copy_is_equal_and_independent(self, encoder: Any) -> None:
        molecules = random_molecules()
        features = encoder(*molecules)
        other = copy.deepcopy(encoder)
        assert_features_close(other(*molecules), features, 0, "features of a copy")
        for parameter in other.parameters():
            torch.nn.init.constant_(parameter, torch.nan)
        assert_features_close(encoder(*molecules), features, 0, "features after the copy has changed")

    def test_save_and_load(self, encoder: Any, tmp_path: Path) -> None:
        from molspectra.pretrained import load, save

        save(encoder, tmp_path)
        torch.manual_seed(1)  # weights that are not in the file would be new
        loaded: Any = load(tmp_path, [type(encoder)])
        assert loaded.config == encoder.config
        molecules = random_molecules()
        assert_features_close(loaded.eval()(*molecules), encoder(*molecules), 0, "features of the loaded encoder")

    # Symmetry

    @PRECISIONS
    def test_equivariance(self, encoder: Any, dtype: torch.dtype) -> None:
        for _ in range(3):
            assert_equivariant(encoder.to(dtype), *random_molecules(dtype=dtype), self.equivariance_tolerance[dtype])

    @pytest.mark.parametrize("name", EDGE_MOLECULES)
    @PRECISIONS
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

    # Derivatives

    def test_gradients_reach_every_parameter(self, encoder: Any) -> None:
        features = by_degree(encoder.train()(*random_molecules()))
        torch.stack([(of_degree * torch.randn_like(of_degree)).sum() for of_degree in features]).sum().backward()
        named = dict(encoder.named_parameters())
        without = {name for name, parameter in named.items() if parameter.grad is None or not parameter.grad.any()}
        assert without == self.parameters_without_gradient

    def test_no_gradient_across_molecules(self, encoder: Any) -> None:
        z, pos, batch = random_molecules()
        pos.requires_grad_()
        energy_of_last = _energies(encoder, z, pos, batch)[-1]
        (grad,) = torch.autograd.grad(energy_of_last, pos)
        assert grad[batch == 2].abs().max() > 0
        assert grad[batch != 2].abs().max() == 0

    def test_smooth_at_the_cutoff(self, encoder: Any) -> None:
        assert math.isfinite(encoder.cutoff), "Without a cutoff set smooth_at_cutoff = False."
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
        # Beside an ordinary molecule, to which no NaN may spread.
        ordinary_z, ordinary_pos, _ = random_molecules((6,))
        z, pos = torch.cat([z, ordinary_z]), torch.cat([pos, ordinary_pos]).requires_grad_()
        batch = (torch.arange(len(z)) >= len(z) - 6).long()
        atoms = encoder(z, pos, batch)
        assert all(feature.isfinite().all() for feature in by_degree(atoms))
        (grad,) = torch.autograd.grad(_energies(encoder, z, pos, batch).sum(), pos, create_graph=True)
        assert grad.isfinite().all()
        if self.twice_differentiable:
            (grad - 0.1).square().sum().backward()
            assert pos.grad is not None
            assert pos.grad.isfinite().all()
            assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())

    def test_forces_against_finite_differences(self, encoder: Any) -> None:
        z, pos, batch = random_molecules((3, 2), torch.float64)
        encoder.double()
        assert torch.autograd.gradcheck(lambda p: _energies(encoder, z, p, batch), pos.requires_grad_())

    def test_second_derivatives_against_finite_differences(self, encoder: Any) -> None:
        z, pos, batch = random_molecules((3,), torch.float64)
        encoder.double()
        assert torch.autograd.gradgradcheck(lambda p: _energies(encoder, z, p, batch), pos.requires_grad_())

    # Execution

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
    def test_autocast(self, encoder: Any, dtype: torch.dtype) -> None:
        z, pos, batch = random_molecules()
        pos = pos.to(dtype)
        context = torch.randn(len(z), encoder.out_channels, dtype=torch.float32)
        exact = encoder(z, pos.float(), batch, context=context)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            atoms = encoder(z, pos, batch, context=context.bfloat16())
            same = encoder(z, pos.float(), batch, context=context.bfloat16())
        assert all(feature.dtype == torch.float32 for feature in by_degree(atoms))
        assert_features_close(atoms, exact, 0.1, "features under autocast(bfloat16)")
        assert_features_close(atoms, same, 1e-6, f"features under autocast(bfloat16), of positions in {dtype}")

    @pytest.mark.compile
    def test_compile(self) -> None:
        """Compile to one graph for all sizes in training, and in evaluation to another one for lone atoms."""
        torch.manual_seed(0)
        encoder = self.make_encoder_to_compile()
        fullgraph = self.compile_fullgraph
        sizes = [(5, 1, 8), (3, 7), (6,), (1, 1), (4, 4, 4, 4, 2), (2,), (1,)]
        calls = [dict(zip(("z", "pos", "batch"), random_molecules(each), strict=True)) for each in sizes]
        with without_shape_checks():
            assert_compiles(
                encoder.train(), calls[:-1], max_graphs=1, backend=self.compile_backend, fullgraph=fullgraph
            )
            # The backend has compiled the operators above. Here the graphs are counted, and their numbers compared.
            with torch.no_grad():
                assert_compiles(encoder.eval(), calls, backend="eager", fullgraph=fullgraph)

    @pytest.mark.cuda
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda(self, encoder: Any) -> None:
        z, pos, batch = random_molecules()
        results = []
        for device in ("cpu", "cuda"):
            encoder.to(device)
            inputs = z.to(device), pos.detach().to(device).requires_grad_(), batch.to(device)
            (forces,) = torch.autograd.grad(_energies(encoder, *inputs).sum(), inputs[1])
            results.append([*by_degree(encoder(*inputs)), forces])
        for expected, actual in zip(*results, strict=True):
            assert_close(actual.cpu(), expected, 1e-4, "features or forces on CUDA")

    # Errors

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
    def test_bad_input_is_refused(self, encoder: Any, change: Callable[..., Any], message: str) -> None:
        with without_shape_checks(), pytest.raises(ValueError, match=message):
            encoder(*change(*random_molecules()))

    def test_another_dtype_is_refused(self, encoder: Any) -> None:
        z, pos, batch = random_molecules(dtype=torch.float64)
        with pytest.raises(TypeError, match=r"pos must be torch.float32, as the weights are; got torch.float64"):
            encoder(z, pos, batch)


def _energies(encoder: Encoder, z: Tensor, pos: Tensor, batch: Tensor) -> Tensor:
    """Return one rotation-invariant number per molecule, to which every feature contributes."""
    scalars, *others = by_degree(encoder(z, pos, batch))
    # Weighted at random: the plain sum of squares after a LayerNorm is a constant.
    shape, generator = (1 + len(others), scalars.shape[2]), torch.Generator().manual_seed(0)
    weights = torch.randn(shape, generator=generator, dtype=torch.float32).to(scalars)
    per_atom = scalars.squeeze(1) * weights[0]
    for features, weight in zip(others, weights[1:], strict=True):
        per_atom = per_atom + features.square().sum(dim=1) * weight
    return AtomFeatures(per_atom).pool(batch).mean(dim=1)
