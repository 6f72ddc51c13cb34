"""`torch.func`, vectorised derivatives and forward mode, against derivatives one at a time by ordinary autograd."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch_geometric.data import Batch
from torch_geometric.nn import SchNet

import molspectra as ms
from molspectra._transforms import has_values

ENCODERS = {
    "transformer": lambda: ms.encoders.EquivariantTransformer(8, num_layers=2, num_heads=2, num_rbf=4),
    "whitened": lambda: ms.encoders.EquivariantTransformer(
        8, num_layers=2, num_heads=2, num_rbf=4, vector_norm="whitened", norm_every_layer=True
    ),
    "released": lambda: ms.encoders.EquivariantTransformer(
        8, num_layers=2, num_heads=2, num_rbf=4, vector_norm="whitened", as_released=True
    ),
    "checkpoint": lambda: ms.encoders.EquivariantTransformer(8, num_layers=2, num_heads=2, num_rbf=4, checkpoint=True),
    "get": lambda: ms.encoders.GET(4, 1, 2, 4),
    "painn": lambda: ms.encoders.PaiNN(8, num_layers=2),
    "egnn": lambda: ms.encoders.EGNN(8, num_layers=2, layer_norm=True),
    "irreps": lambda: ms.encoders.IrrepsTransformer(4, num_layers=1, num_heads=2),
    "schnet": lambda: ms.encoders.Adapter(SchNet(8, 8, 1)),
}
LENGTHS = {"uv_vis": 30, "ir": 40}


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9 * max(1.0, other.detach().abs().max().item()))


@pytest.fixture
def batch():
    return Batch.from_data_list(list(ms.data.MiniSpectra()[:2])).to("cpu")


@pytest.fixture(params=ENCODERS)
def encoder(request):
    torch.manual_seed(0)
    return ENCODERS[request.param]().double()


@pytest.fixture
def energy(encoder, batch):
    def energy(pos):
        atoms = encoder(batch.z, pos, batch.batch, bond_index=batch.bond_index)
        vectors = 0.0 if atoms.vectors is None else atoms.vectors.square().sum()
        return atoms.scalars.tanh().sum() + vectors

    return energy


def test_derivatives_by_positions(energy, batch):
    pos = batch.pos.double()
    tangent = torch.randn_like(pos)
    gradient = torch.autograd.functional.jacobian(energy, pos)
    second = torch.autograd.functional.hessian(energy, pos)
    one = torch.ones((), dtype=torch.float64)

    close(grad(energy)(pos), gradient)
    close(vjp(energy, pos)[1](one)[0], gradient)
    close(jacfwd(energy)(pos), gradient)
    close(jvp(energy, (pos,), (tangent,))[1], (gradient * tangent).sum())
    close(hessian(energy)(pos), second)
    close(jacrev(jacrev(energy))(pos), second)
    close(jacfwd(jacfwd(energy))(pos), second)
    close(jacrev(jacfwd(energy))(pos), second)
    close(torch.autograd.functional.hessian(energy, pos, vectorize=True), second)
    close(jvp(grad(energy), (pos,), (tangent,))[1], torch.einsum("iajb,jb->ia", second, tangent))
    with forward_ad.dual_level():
        dual = energy(forward_ad.make_dual(pos, tangent))
        close(forward_ad.unpack_dual(dual).tangent, (gradient * tangent).sum())


def test_ensembles_and_gradients_by_weights(encoder, batch):
    pos, bonds = batch.pos.double(), {"bond_index": batch.bond_index}
    weights = {name: weight.detach() for name, weight in encoder.named_parameters()}
    members = {name: torch.stack([weight, 1.1 * weight]) for name, weight in weights.items()}

    def scalars(weights, pos):
        return functional_call(encoder, weights, (batch.z, pos, batch.batch), bonds).scalars

    def loss(weights):
        return scalars(weights, pos).square().sum()

    each = [{name: weight[member] for name, weight in members.items()} for member in range(2)]
    close(vmap(scalars, (0, None))(members, pos), torch.stack([scalars(weights, pos) for weights in each]))
    together = vmap(grad(loss))(members)
    for member, weights in enumerate(each):
        leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        if getattr(encoder, "checkpoint", False):
            return  # a checkpoint recomputes with the module's own weights, once functional_call has ended
        grads = torch.autograd.grad(loss(leaves), list(leaves.values()), materialize_grads=True, allow_unused=True)
        for gradient, expected in zip(together.values(), grads, strict=True):
            close(gradient[member], expected)


def test_one_set_of_weights_in_many_versions():
    """Only some of the messages' inputs have the additional dimension."""
    torch.manual_seed(0)
    encoder, pos, z = ENCODERS["transformer"]().double(), torch.randn(4, 3).double(), torch.tensor([6, 8, 1, 1])
    for name in ("layers.0.dk_proj.weight", "layers.1.q_proj.weight", "layers.1.vec_proj.weight"):
        weight = encoder.get_parameter(name).detach()

        def scalars(weight, name=name):
            return functional_call(encoder, {name: weight}, (z, pos)).scalars.sum(dim=0)

        close(jacrev(scalars)(weight), torch.autograd.functional.jacobian(scalars, weight))
        close(jacfwd(scalars)(weight), torch.autograd.functional.jacobian(scalars, weight))


def test_many_positions(encoder):
    z, bonds = torch.tensor([8, 1, 1]), torch.tensor([[0, 0], [1, 2]])
    pos = torch.tensor([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]).double()
    stretched = torch.stack([pos, 1.1 * pos, pos + torch.eye(3)])

    def scalars(pos):
        return encoder(z, pos, bond_index=bonds).scalars

    close(vmap(scalars)(stretched), torch.stack([scalars(pos) for pos in stretched]))


def test_many_positions_with_other_neighbors():
    encoder = ENCODERS["painn"]().double()
    z, pos = torch.tensor([8, 1, 1]), torch.tensor([[0, 0, 0], [1, 0, 0], [2, 0, 0]]).double()
    exchanged = pos.clone()
    exchanged[:, 0] = torch.tensor([0.0, 6, 5])

    def scalars(pos):
        return encoder(z, pos).scalars

    apart = torch.stack([exchanged, exchanged[[1, 0, 2]]])  # as many pairs, of other atoms
    encoder.cutoff = 5.5
    close(vmap(scalars)(apart), torch.stack([scalars(pos) for pos in apart]))
    with pytest.raises(ValueError, match=r"equally many neighbors.*got \[2, 6\].*encoder\(z, pos, batch\)"):
        vmap(scalars)(torch.stack([pos, torch.diag(torch.tensor([0.0, 1, 9])).double()]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ms.spectra.SpecFormer(LENGTHS, 10, 5, 8, num_layers=2, num_heads=2, out_channels=4),
        lambda: ms.spectra.SpecFormer(LENGTHS, 10, 5, 8, 2, num_heads=2, out_channels=4, norm="layer", pool="mean"),
        lambda: ms.spectra.CNNAM(LENGTHS, out_channels=4),
    ],
    ids=["SpecFormer", "SpecFormer of layer norms", "CNNAM"],
)
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch has no rule for patches: it takes a loop
def test_spectrum_encoders(make):
    torch.manual_seed(0)
    encoder = make().double().eval()
    weights = {name: weight.detach() for name, weight in encoder.named_parameters()}
    spectra = {kind: torch.rand(3, length).double() for kind, length in LENGTHS.items()}
    spectra["ir"][1] = torch.nan

    def loss(weights, sample):
        one = {kind: spectrum.unsqueeze(0) for kind, spectrum in sample.items()}
        return functional_call(encoder, weights, (one,)).embedding.square().sum()

    together = vmap(grad(loss), (None, 0))(weights, spectra)
    for row in range(3):
        leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        value = loss(leaves, {kind: spectrum[row] for kind, spectrum in spectra.items()})
        grads = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True, allow_unused=True)
        for gradient, expected in zip(together.values(), grads, strict=True):
            close(gradient[row], expected)

    def of_spectrum(spectrum):
        return encoder({"uv_vis": spectrum}).embedding.tanh().sum()

    spectrum = spectra["uv_vis"][:1]
    gradient = torch.autograd.functional.jacobian(of_spectrum, spectrum)
    close(jacrev(of_spectrum)(spectrum), gradient)
    close(jacfwd(of_spectrum)(spectrum), gradient)
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has one derivative
        second = torch.autograd.functional.hessian(of_spectrum, spectrum)
        if isinstance(encoder, ms.spectra.SpecFormer):
            close(torch.autograd.functional.hessian(of_spectrum, spectrum, vectorize=True), second)
    close(hessian(of_spectrum)(spectrum), second)
    close(jacrev(jacrev(of_spectrum))(spectrum), second)


def functions():
    """Functions of one tensor, and a point."""
    torch.manual_seed(0)
    axis = ms.data.SpectrumAxis("ir", 0, 5000, 0.5, "cm^-1")
    molecules = [ms.data.transforms.AddTopology()(molecule) for molecule in ms.data.MiniSpectra()[40:43]]
    data = Batch.from_data_list(molecules)
    data.pos = data.pos.double()
    rotatable, other = data.rotatable_index.shape[1], torch.randn(5, 4).double()
    assert rotatable > 1
    terms = (data.bond_index, data.angle_index, data.torsion_index)
    lines = torch.tensor([100.0, 900, 2000]).double()
    return {
        "internal coordinates": (lambda pos: torch.cat(ms.geometry.internal_coordinates(pos, *terms)), data.pos),
        "inverse root": (lambda m: ms.geometry.symmetric_inverse_sqrt(m @ m.mT), torch.randn(2, 3, 3).double()),
        "repeated eigenvalues": (ms.geometry.symmetric_inverse_sqrt, torch.eye(3).double()),
        "torsions": (lambda turn: ms.geometry.rotate_torsions(data, turn), torch.full((rotatable,), 0.1).double()),
        "forces": (
            lambda pos: ms.noise.riemann_force_target(pos, data.pos, data.batch),
            data.pos + 0.1 * torch.randn_like(data.pos),
        ),
        "contrast": (lambda z: ms.objectives.InfoNCELoss()(z, other), torch.randn(5, 4).double()),
        "contrast in chunks": (lambda z: ms.objectives.InfoNCELoss(chunk_size=2)(z, other), torch.randn(5, 4).double()),
        "denoising": (lambda z: ms.objectives.DenoisingLoss()(z, other[:, :3]), torch.randn(5, 3).double()),
        "broadening": (lambda x: ms.spectra.broaden(lines, x, axis, fwhm=300.0)[:, ::999], torch.rand(3).double()),
    }


@pytest.mark.parametrize("name", functions())
def test_geometry_and_losses(name):
    function, point = functions()[name]

    def number(x):
        return function(x).tanh().sum()

    tangent = torch.randn_like(point)
    jacobian = torch.autograd.functional.jacobian(function, point)
    close(jvp(function, (point,), (tangent,))[1], (jacobian * tangent).flatten(-tangent.dim()).sum(dim=-1))
    close(jacrev(function)(point), jacobian)
    close(jacfwd(function)(point), jacobian)
    close(torch.autograd.functional.jacobian(function, point, vectorize=True), jacobian)
    if point.numel() < 30:
        second = torch.autograd.functional.hessian(number, point)
        close(hessian(number)(point), second)
        close(jacrev(jacrev(number))(point), second)
        close(jacfwd(jacfwd(number))(point), second)
        close(torch.autograd.functional.hessian(number, point, vectorize=True), second)


def test_values_are_checked_where_they_exist():
    encoder, pos = ENCODERS["painn"](), torch.randn(3, 3)
    wrong = torch.tensor([0, 1, 1])
    with pytest.raises(ValueError, match=r"z must lie in 1..100"):
        encoder(wrong, pos)
    assert torch.func.grad(lambda pos: encoder(wrong, pos).scalars.sum())(pos).isfinite().all()
    with torch._subclasses.FakeTensorMode() as mode:
        assert not has_values(mode.from_tensor(pos))
    assert make_fx(lambda x: x * has_values(x))(pos)(pos).abs().sum() == 0
    assert has_values(pos)
    assert has_values(torch.nn.Parameter(pos))


F = 16
METHODS = {
    "Coord": lambda: ms.methods.Coord(F),
    "MolSpectra": lambda: ms.methods.MolSpectra(
        ms.methods.Coord(F), ms.spectra.SpecFormer({"uv_vis": 601}, 100, 50, F, 1, 4, out_channels=F)
    ),
    "NoisyNodes": lambda: ms.methods.NoisyNodes(ms.methods.Coord(F), ms.heads.ScalarHead(F), label="gap"),
    "EMPP": lambda: ms.methods.EMPP(F),
    "SE3DDM": lambda: ms.methods.SE3DDM(F),
    "SCD": lambda: ms.methods.SCD(F),
    "DeNS": lambda: ms.methods.DeNS(F, forces="pos", molecule_ratio=1.0, prediction="vector"),
    "EMGP of vectors": lambda: ms.methods.EMGP(F, prediction="vector"),
    "Regression": lambda: ms.methods.Regression(ms.heads.ScalarHead(F), label="gap"),
    "SpectrumPrediction": lambda: ms.methods.SpectrumPrediction(ms.heads.SpectrumHead(F, {"uv_vis": 601})),
}


def functional(name):
    """A method in training mode as a function of its weights and buffers, which it returns."""
    torch.manual_seed(0)
    model = ms.methods.TrainingModule(ms.encoders.PaiNN(F, num_layers=1, num_rbf=8), METHODS[name]()).double().train()
    batch = Batch.from_data_list(list(ms.data.MiniSpectra()[:4]))
    for field, value in batch.to_dict().items():
        batch[field] = value.double() if torch.is_tensor(value) and value.is_floating_point() else value
    weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    def loss(weights, buffers):
        # All that is written to is an argument and a result.
        given = batch, torch.Generator().manual_seed(0)
        return functional_call(model, (weights, buffers), given)["loss"], buffers

    def buffers():
        return {name: buffer.clone() for name, buffer in model.named_buffers()}

    return model, loss, weights, buffers


@pytest.mark.parametrize("name", METHODS)
def test_methods_in_training_mode_as_functions(name):
    model, loss, weights, buffers = functional(name)
    gradients, updated = grad(loss, has_aux=True)(weights, buffers())
    # Each member of an ensemble has buffers of its own.
    members = [{name: torch.stack([part, part]) for name, part in of.items()} for of in (weights, buffers())]
    together = vmap(grad(loss, has_aux=True), randomness="same")(*members)
    value, expected = loss(dict(model.named_parameters()), buffers())
    value.backward()
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            close(gradients[name], weight.grad)
            for member in together[0][name]:
                close(member, weight.grad)
    for name, buffer in expected.items():
        close(updated[name], buffer)
        for member in together[1][name]:
            close(member, buffer)


@pytest.mark.parametrize(("name", "owner"), [("Coord", "TargetNormalizer"), ("MolSpectra", "TargetNormalizer")])
def test_statistics_that_a_transform_cannot_write_are_explained(name, owner):
    model, loss, weights, buffers = functional(name)
    captured = buffers()
    with pytest.raises(RuntimeError, match=f"{owner} updates running statistics.*Or keep the statistics"):
        grad(lambda weights: loss(weights, captured)[0])(weights)
    for part in model.modules():
        if isinstance(part, ms.objectives.TargetNormalizer | torch.nn.modules.batchnorm._BatchNorm):
            part.eval()
    gradients = grad(lambda weights: loss(weights, captured)[0])(weights)
    loss(dict(model.named_parameters()), captured)[0].backward()
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            close(gradients[name], weight.grad)


def test_statistics_of_spectra_are_explained():
    specformer = ms.spectra.SpecFormer(LENGTHS, 10, 5, 8, num_layers=1, num_heads=2, out_channels=4)
    weights = {name: weight.detach() for name, weight in specformer.named_parameters()}
    spectra = {kind: torch.rand(3, length) for kind, length in LENGTHS.items()}
    with pytest.raises(RuntimeError, match="batch normalization of spectra updates.*functional_call"):
        grad(lambda weights: functional_call(specformer, weights, (spectra,)).embedding.sum())(weights)


def test_forces_are_refused_inside_transforms(batch):
    encoder, head = ms.encoders.PaiNN(F, num_layers=1), ms.heads.ScalarHead(F)
    batch.forces = torch.zeros_like(batch.pos)
    weights = {name: weight.detach() for name, weight in encoder.named_parameters()}
    for method in (
        ms.methods.Coord(F, prediction="gradient"),
        ms.methods.EMGP(F),
        ms.methods.Regression(head, label="gap", forces="forces"),
    ):
        model = ms.methods.TrainingModule(encoder, method)
        with pytest.raises(ValueError, match="Forces are a gradient by torch.autograd.*torch.func.grad yourself"):
            grad(lambda weights, model=model: functional_call(model, weights, (batch,))["loss"])(
                {f"encoder.{name}": weight for name, weight in weights.items()}
            )
    # The remedy.
    energy = lambda pos: head(encoder(batch.z, pos, batch.batch), batch).sum()  # noqa: E731
    forces = ms.methods.Regression(head, label="gap", forces="forces").eval().predict(encoder, batch).forces
    torch.testing.assert_close(-grad(energy)(batch.pos), forces)
