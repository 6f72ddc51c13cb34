"""InfoNCE: published numbers, an independent formula, and hard input."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from molspectra.objectives import InfoNCELoss

CASES = ("main", "single", "identical_views", "duplicate_rows", "large_norm", "zero_row")


@pytest.fixture(scope="module")
def values(load_fixture):
    return load_fixture("infonce/values.json")


@pytest.fixture(scope="module")
def tensors(load_fixture):
    return load_fixture("infonce/infonce.safetensors")


def views(tensors, case, dtype=torch.float64):
    return (tensors[f"{case}.{name}"].to(dtype).requires_grad_() for name in ("z_x", "z_s"))


@pytest.mark.parametrize("case", CASES)
def test_released(values, tensors, case):
    loss = InfoNCELoss(as_released=True)
    z_x, z_s = views(tensors, case)
    value = loss(z_x, z_s)
    assert value.item() == pytest.approx(values[case]["released.f64"], abs=1e-10)
    for z, name in zip(torch.autograd.grad(value, (z_x, z_s)), ("z_x", "z_s"), strict=True):
        expected = tensors[f"{case}.released.f64.grad_{name}"]
        torch.testing.assert_close(z, expected.to(z.dtype), rtol=1e-9, atol=1e-10)
    assert loss(*views(tensors, case, torch.float32)).item() == pytest.approx(values[case]["released.f32"], abs=2e-5)


FORMS = {"cosine_T0.07": {}, "paper_dot_T1": {"similarity": "dot", "temperature": 1.0}}


@pytest.mark.parametrize(
    ("case", "name"),
    # The published form has no cosine of a row of zeros.
    [(case, name) for name in FORMS for case in CASES if (case, name) != ("zero_row", "cosine_T0.07")],
)
def test_both_directions_of_the_paper_and_the_default(values, tensors, case, name):
    arguments = FORMS[name]
    z_x, z_s = views(tensors, case)
    one_sided = InfoNCELoss(symmetric=False, **arguments)
    # The default's ε in the norms shows at 1e-12 relative to |z|².
    assert one_sided(z_x, z_s).item() == pytest.approx(values[case][f"{name}.x_to_s.f64"], abs=1e-9, rel=1e-10)
    assert one_sided(z_s, z_x).item() == pytest.approx(values[case][f"{name}.s_to_x.f64"], abs=1e-9, rel=1e-10)
    symmetric = InfoNCELoss(**arguments)(z_x, z_s)
    assert symmetric.item() == pytest.approx(values[case][f"{name}.symmetric.f64"], abs=1e-9, rel=1e-10)
    key = f"{case}.{name}.symmetric.f64.grad_z_x"
    if key in tensors:
        torch.testing.assert_close(torch.autograd.grad(symmetric, z_x)[0], tensors[key], rtol=1e-8, atol=1e-10)


def test_against_cross_entropy():
    z_a, z_b = torch.randn(7, 5), torch.randn(7, 5)
    scores = torch.nn.functional.cosine_similarity(z_a[:, None], z_b[None], dim=-1) / 0.2
    labels = torch.arange(7)
    cross_entropy = torch.nn.functional.cross_entropy
    expected = (cross_entropy(scores, labels) + cross_entropy(scores.T, labels)) / 2
    torch.testing.assert_close(InfoNCELoss(temperature=0.2)(z_a, z_b), expected)


def test_invariant_under_joint_rotation_and_permutation():
    z_a, z_b = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
    order = torch.randperm(6)
    loss = InfoNCELoss()
    torch.testing.assert_close(loss(z_a @ turn, z_b @ turn), loss(z_a, z_b))
    torch.testing.assert_close(loss(z_a[order], z_b[order]), loss(z_a, z_b))
    torch.testing.assert_close(loss(z_b, z_a), loss(z_a, z_b))


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_gradcheck(similarity, symmetric):
    loss = InfoNCELoss(0.3, similarity, symmetric)
    z = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: loss(z[0], z[1]), z)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_zero_vectors_have_finite_gradients(similarity):
    z_a, z_b = torch.randn(4, 3, requires_grad=True), torch.zeros(4, 3, requires_grad=True)
    loss = InfoNCELoss(similarity=similarity)(z_a, z_b)
    loss.backward()
    assert loss.isfinite()
    assert z_a.grad.isfinite().all()
    assert z_b.grad.isfinite().all()


def test_rows_that_are_not_valid_take_no_part():
    z_a, z_b = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    valid = torch.tensor([True, False, True, True, False, True])
    for symmetric in (True, False):
        loss = InfoNCELoss(symmetric=symmetric)
        value = loss(z_a, z_b, valid)
        torch.testing.assert_close(value, loss(z_a[valid], z_b[valid]))
        for grad in torch.autograd.grad(value, (z_a, z_b)):
            assert grad.isfinite().all()
            assert (grad[~valid] == 0).all()
        nothing = loss(z_a, z_b, torch.zeros(6, dtype=torch.bool))
        assert nothing == 0
        assert torch.autograd.grad(nothing, z_a)[0].isfinite().all()


def test_learnable_temperature():
    loss = InfoNCELoss(0.2, learnable_temperature=True)
    assert loss.temperature.item() == pytest.approx(0.2)
    loss(torch.randn(5, 3), torch.randn(5, 3)).backward()
    assert loss.log_temperature.grad != 0
    assert list(InfoNCELoss(0.2).parameters()) == []


def test_float32_under_autocast():
    z_a, z_b = torch.randn(2, 5, 3, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = InfoNCELoss()(z_a, z_b)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, InfoNCELoss()(z_a, z_b))


@pytest.mark.usefixtures("no_shape_checks")
def test_bad_arguments():
    with pytest.raises(ValueError, match="temperature must be positive; got 0"):
        InfoNCELoss(temperature=0.0)
    with pytest.raises(ValueError, match='similarity must be "cosine" or "dot"'):
        InfoNCELoss(similarity="euclidean")
    with pytest.raises(ValueError, match='released loss takes similarity="cosine"'):
        InfoNCELoss(similarity="dot", as_released=True)
    with pytest.raises(ValueError, match=r"one shape \(B, F\); got \(4, 3\) and \(4, 5\)"):
        InfoNCELoss()(torch.zeros(4, 3), torch.zeros(4, 5))


def make_case(num_rows=23):
    z = torch.randn(2, num_rows, 5, dtype=torch.float64).requires_grad_()
    return z, torch.rand(num_rows) < 0.7


@pytest.mark.parametrize("chunk_size", [1, 4, 22, 23, 100])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"symmetric": False},
        {"as_released": True},
        {"similarity": "dot", "temperature": 1.0},
        {"learnable_temperature": True},
    ],
    ids=lambda arguments: " ".join(arguments) or "default",
)
def test_chunks_change_nothing(chunk_size, arguments):
    z, some = make_case()
    plain, chunked = InfoNCELoss(**arguments).double(), InfoNCELoss(**arguments, chunk_size=chunk_size).double()
    for valid in (None, some, torch.zeros_like(some)):
        expected, value = plain(z[0], z[1], valid), chunked(z[0], z[1], valid)
        torch.testing.assert_close(value, expected)
        of = [torch.autograd.grad(loss, [z, *m.parameters()]) for m, loss in ((plain, expected), (chunked, value))]
        torch.testing.assert_close(of[1], of[0], rtol=1e-10, atol=1e-13)


def test_gradients_and_second_derivatives_of_chunks():
    loss = InfoNCELoss(0.3, chunk_size=2, learnable_temperature=True).double()
    z = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([True, True, False, True, True])
    assert torch.autograd.gradcheck(lambda z: loss(z[0], z[1], valid), z)
    assert torch.autograd.gradgradcheck(lambda z: loss(z[0], z[1], valid), z)


class LargestTensor(TorchDispatchMode):
    """Number of elements of the largest tensor of any operation, backward included."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


@pytest.mark.parametrize("symmetric", [True, False])
def test_memory_of_chunks_grows_with_the_chunk_times_the_batch(symmetric):
    num_rows, chunk_size = 512, 16
    z = torch.randn(2, num_rows, 8, requires_grad=True)
    largest = {}
    for size in (None, chunk_size):
        with LargestTensor() as mode:
            InfoNCELoss(symmetric=symmetric, chunk_size=size)(z[0], z[1]).backward()
        largest[size] = mode.largest
    assert largest[None] >= num_rows**2  # the measurement sees the full matrix
    assert largest[chunk_size] == max(chunk_size * num_rows, z.numel())


def test_chunk_size_must_be_positive():
    with pytest.raises(ValueError, match="chunk_size must be at least 1; got 0"):
        InfoNCELoss(chunk_size=0)
