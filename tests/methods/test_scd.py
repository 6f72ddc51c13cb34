"""Self-conditioned denoising against the published step, an implementation by parts, and its symmetries."""

import pytest
import torch
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.testing import EDGE_MOLECULES, edge_molecule, random_orthogonal, without_shape_checks
from tests.oracles.scd import PublishedConditionedTransformer

HEAD_WEIGHTS = {"vec1_proj": "norm_proj", "vec2_proj": "vector_proj", "update_net.layers": "mlp"}
EITHER = pytest.mark.parametrize("kind", ["vec_prenorm", "no_vec_prenorm"])


@pytest.fixture(scope="module")
def published(load_fixture):
    return load_fixture("scd/scd.safetensors")


class PublishedStep:
    """The released model on the method of the library, and the stored molecules and draws."""

    def __init__(self, numbers, kind):
        state = {key.removeprefix("state."): value for key, value in numbers.items() if key.startswith("state.")}
        self.encoder = PublishedConditionedTransformer(state, num_heads=2, vector_norm=kind == "vec_prenorm")
        method = ms.methods.SCD(16, as_released=True).double()
        renamed = {"condition.mask_token": state["rep_model.drop_cond.mask_token"]}
        for kind_of_weight in ("weight", "bias"):
            renamed[f"condition.norm.{kind_of_weight}"] = state[f"rep_model.drop_cond.norm.{kind_of_weight}"]
            for theirs, ours, places in (("pre_proj", "atom_mlp", (0, 1, 3)), ("post_agg_mlp", "mlp", (0, 1, 3, 4))):
                for place in places:
                    key = f"embedding_head.{theirs}.{place}.{kind_of_weight}"
                    renamed[f"embedding_head.{ours}.{place}.{kind_of_weight}"] = state[key]
        for block in range(2):
            theirs, ours = f"noise_head.output_network.{block}", f"head.blocks.{block}"
            by_name = {name: weight for name, weight in state.items() if name.startswith(theirs)}
            own = {name for name in method.state_dict() if name.startswith(ours)}
            for name, weight in by_name.items():
                place = name.removeprefix(f"{theirs}.")
                for old, new in HEAD_WEIGHTS.items():
                    place = place.replace(old, new)
                assert f"{ours}.{place}" in own, (place, own)
                renamed[f"{ours}.{place}"] = weight
        missing, unexpected = method.load_state_dict(renamed, strict=False)
        assert not unexpected
        assert all(name.startswith("objective.") for name in missing)
        self.method = method
        z, batch = numbers["z"], numbers["batch"]
        self.views = [Data(z=z, pos=numbers[f"view_{i}"], batch=batch, num_graphs=3) for i in (1, 2)]
        self.dropped = numbers["dropcond_uniform"] < 0.2

    def passes(self):
        """Return the features and predictions of both passes and the embedding between them."""
        method, (first, noisy) = self.method, self.views
        clean = self.encoder(first.z, first.pos, first.batch, method.condition.without(first))
        embedding = method.embedding_head(clean, first)
        context = method.condition.of_atoms(embedding, noisy, self.dropped)
        atoms = self.encoder(noisy.z, noisy.pos, noisy.batch, context)
        return clean, method.head(clean), embedding, atoms, method.head(atoms)


@EITHER
def test_the_published_step(published, kind):
    step = PublishedStep(published, kind)
    clean, first_prediction, embedding, atoms, prediction = step.passes()
    for name, value in (
        ("pass1.atom_embs", clean.scalars),
        ("pass1.noise_pred", first_prediction),
        ("pass1.mol_emb", embedding),
        ("pass2.atom_embs", atoms.scalars),
        ("pass2.noise_pred", prediction),
    ):
        assert_close(value, published[f"{kind}.{name}"], rtol=1e-9, atol=1e-9, msg=lambda text, name=name: name + text)
    # Its normalizer adds 1e-8 to the standard deviation of 0.04 Å.
    normalized = step.method.objective.normalizer(published["noise"])
    assert_close(normalized, published[f"{kind}.normalized_target"], rtol=1e-6, atol=1e-6)
    loss = ms.objectives.DenoisingLoss(normalize=False)(prediction, published[f"{kind}.normalized_target"])
    assert_close(loss, published[f"{kind}.loss"], rtol=1e-9, atol=1e-9)


@EITHER
def test_the_published_gradients_through_both_passes(published, kind):
    step = PublishedStep(published, kind)
    step.method.condition.mask_token.requires_grad_()
    prediction = step.passes()[-1]
    ms.objectives.DenoisingLoss(normalize=False)(prediction, published[f"{kind}.normalized_target"]).backward()
    layer = "attention_layers.{}.conditional_ln.{}"
    gradients = {
        "embedding_head.post_agg_mlp.4.weight": step.method.embedding_head.mlp[4].weight.grad,
        "rep_model.drop_cond.mask_token": step.method.condition.mask_token.grad,
        **{
            f"rep_model.{name}": step.encoder.weight(name).grad
            for name in (layer.format(0, "fc.3.weight"), layer.format(1, "x_modulate.alpha"))
        },
    }
    for name, gradient in gradients.items():
        expected = published[f"{kind}.grad.{name}"]
        assert_close(gradient, expected, rtol=1e-8, atol=1e-10, msg=lambda text, name=name: name + text)


def test_the_released_norm_of_vectors_breaks_the_symmetry_and_the_transformer_without_does_not(published):
    """With its bias drawn from N(0, 0.1), the released norm changes predictions by half of their size and more."""
    errors = {}
    for kind in ("vec_prenorm", "no_vec_prenorm"):
        step = PublishedStep(published, kind)
        with torch.no_grad():
            for name, weight in step.encoder.weights.items():
                if name.endswith("vec_norm|norm_beta"):
                    weight.normal_(std=0.1)
            turn = random_orthogonal(torch.float64)
            expected = step.passes()[-1] @ turn.T
            for view in step.views:
                view.pos = view.pos @ turn.T
            errors[kind] = ((step.passes()[-1] - expected).norm() / expected.norm()).item()
    assert errors["no_vec_prenorm"] < 1e-12
    assert errors["vec_prenorm"] > 0.1


@pytest.mark.parametrize("is_lightning", [True, False])
def test_published_files_are_refused_with_the_reason(published, is_lightning, tmp_path):
    weights = {f"model.{key.removeprefix('state.')}": value for key, value in published.items() if "state." in key}
    checkpoint = {"state_dict": weights, "hyper_parameters": {"emb_dim": 16}} if is_lightning else weights
    torch.save(checkpoint, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"self-conditioned denoising \(SCD\).*breaks rotation.*methods.SCD"):
        ms.pretrained.load_reference(tmp_path / "last.ckpt")


def molecules():
    batch = Batch.from_data_list([ms.data.from_smiles(smiles) for smiles in ("O", "C#N", "CO")])
    batch.pos = batch.pos.double()
    return batch


def small():
    return ms.encoders.PaiNN(8, 2, 4).double(), ms.methods.SCD(8).double()


def test_is_the_sum_of_its_parts(generator):
    batch, (encoder, method) = molecules(), small()
    losses = method(encoder, batch, generator())
    draws = generator()
    first, noisy = method.first_noise(batch, draws), method.noise(batch, draws)
    dropped = torch.rand(3, generator=draws, dtype=torch.float64) < 0.2
    atoms = encoder(batch.z, first.pos, batch.batch)
    read = method.embedding_head.atom_mlp(atoms.scalars + ms.layers.gated.smooth_norm(atoms.vectors))
    embedding = method.embedding_head.mlp(torch.stack([read[batch.batch == m].sum(dim=0) for m in range(3)]))
    context = torch.stack([method.condition.norm(embedding[m]) * ~dropped[m] for m in batch.batch])
    predicted = method.head(encoder(batch.z, noisy.pos, batch.batch, context=context))
    size = noisy.pos_target.square().mean().sqrt()  # of the first batch
    assert_close(losses["loss"], (predicted - noisy.pos_target / size).square().mean())


def test_the_loss_does_not_change_when_the_molecules_move(generator):
    batch, (encoder, method) = molecules(), small()
    displacement = 0.04 * torch.randn_like(batch.pos)
    turn = random_orthogonal(torch.float64, -1)
    method.condition.dropout = 0.0
    losses = []
    for turned in (torch.eye(3, dtype=torch.float64), turn):

        def move(data, _, turned=turned):
            moved = data.clone()
            moved.pos_target = displacement @ turned.T
            moved.pos = data.pos + moved.pos_target
            return moved

        method.objective.normalizer.reset_running_stats()
        method.noise = method.first_noise = move
        rotated = batch.clone()
        rotated.pos = batch.pos @ turned.T + 2.0
        losses.append(method(encoder, rotated)["loss"])
    assert_close(losses[1], losses[0], rtol=1e-9, atol=1e-9)


def test_a_batch_is_its_molecules_one_by_one(generator):
    batch, (encoder, method) = molecules(), small()
    method.eval()
    embedding = method.embedding_head(encoder(batch.z, batch.pos, batch.batch), batch)
    context = method.condition(embedding, batch)
    for number in range(3):
        alone = Data(z=batch.z[batch.batch == number], pos=batch.pos[batch.batch == number])
        of_alone = method.embedding_head(encoder(alone.z, alone.pos), alone)
        assert_close(of_alone[0], embedding[number])
        assert_close(method.condition(of_alone, alone), context[batch.batch == number])
    order = torch.randperm(3)
    shuffled = Data(pos=batch.pos[:3], z=batch.z[:3])
    assert_close(
        method.embedding_head(encoder(shuffled.z[order], shuffled.pos[order]), shuffled)[0],
        method.embedding_head(encoder(shuffled.z, shuffled.pos), shuffled)[0],
    )


def test_a_dropped_condition_is_none(generator):
    batch, (encoder, method) = molecules(), small()
    embedding = torch.randn(3, 8, dtype=torch.float64)
    condition = method.condition
    none = condition.of_atoms(embedding, batch, torch.ones(3, dtype=torch.bool))
    plain = encoder(batch.z, batch.pos, batch.batch)
    assert_close(encoder(batch.z, batch.pos, batch.batch, context=none).scalars, plain.scalars)
    assert condition.without(batch) is None
    many = Batch.from_data_list([Data(pos=torch.zeros(1, 3))] * 5000)
    context = condition(torch.randn(5000, 8, dtype=torch.float64), many, generator())
    assert (context == 0).all(dim=1).double().mean().item() == pytest.approx(0.2, abs=0.02)
    assert not (condition.eval()(torch.randn(5000, 8, dtype=torch.float64), many) == 0).all(dim=1).any()


def test_the_released_mask_token_is_not_trained(generator):
    batch = molecules()
    encoder, method = ms.encoders.PaiNN(8, 2, 4).double(), ms.methods.SCD(8, as_released=True).double()
    token = method.condition.mask_token.clone()
    method(encoder, batch, generator())["loss"].backward()
    assert method.condition.mask_token.grad is None
    expected = method.condition.norm(token[0]).expand(len(batch.z), -1)
    assert_close(method.condition.without(batch), expected)


def test_the_embedding_is_trained_through_the_second_pass(generator):
    batch, (encoder, method) = molecules(), small()
    method.condition.dropout = 0.0
    method(encoder, batch, generator())["loss"].backward()
    assert method.embedding_head.mlp[4].weight.grad.abs().max() > 0
    named = [*encoder.named_parameters(), *method.named_parameters()]
    assert [name for name, weight in named if weight.requires_grad and weight.grad is None] == []


def test_noise_of_both_views(generator):
    method = ms.methods.SCD(8)
    batch = Batch.from_data_list([ms.data.from_smiles("O")] * 3000)
    noisy = method.noise(batch, generator())
    assert noisy.pos_target.view(3000, 3, 3).mean(dim=1).abs().max() < 1e-7
    assert noisy.pos_target.std().item() == pytest.approx(0.04 * (2 / 3) ** 0.5, rel=0.03)
    assert method.first_noise(batch, generator()).pos_target.std().item() == pytest.approx(0.005, rel=0.03)


@pytest.mark.parametrize("name", EDGE_MOLECULES)
def test_edge_molecules(name, generator):
    z, pos = edge_molecule(name)
    encoder, method = ms.encoders.PaiNN(8, 2, 4), ms.methods.SCD(8)
    losses = method(encoder, Data(z=z, pos=pos), generator())
    losses["loss"].backward()
    assert losses["loss"].isfinite()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in encoder.parameters())


def test_encoders_without_vectors_denoise_by_a_gradient_and_without_context_are_refused(generator):
    batch = molecules()

    def scalars(z, pos, batch, context=None):
        near = torch.exp(-torch.cdist(pos, pos)) @ z.double().unsqueeze(1)
        return near.expand(-1, 8) + (0 if context is None else context)

    encoder = ms.encoders.FunctionEncoder(scalars, out_channels=8)
    assert ms.methods.SCD(8, prediction="gradient").double()(encoder, batch, generator())["loss"].isfinite()
    deaf = ms.encoders.FunctionEncoder(lambda z, pos, batch: pos.new_ones(len(z), 8), out_channels=8)
    with without_shape_checks(), pytest.raises(ValueError, match="does not take `context`"):
        ms.methods.SCD(8, prediction="gradient").double()(deaf, batch, generator())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"dropout": 1.5}, "dropout must"), ({"std": -1.0}, "std must"), ({"prediction": "scalar"}, "prediction must")],
)
@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_settings(arguments, error):
    with pytest.raises(ValueError, match=error):
        ms.methods.SCD(8, **arguments)
