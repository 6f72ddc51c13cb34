"""Every method under DistributedDataParallel, on unequal shares of a batch: the gradients are those of the whole."""

import copy
import warnings

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

import molspectra as ms
from molspectra.noise import EMPPMask

SIZES = {2: (5, 2), 4: (3, 1, 1, 2)}  # molecules of each process
PREPARE = Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])
LENGTHS = {kind: axis.length for kind, axis in ms.data.MiniSpectra.axes.items()}

ENCODERS = {
    "EquivariantTransformer": lambda: ms.encoders.EquivariantTransformer(16, num_layers=2, num_heads=4, num_rbf=8),
    "PaiNN": lambda: ms.encoders.PaiNN(16, num_layers=2, num_rbf=8),
    "EGNN": lambda: ms.encoders.EGNN(16, num_layers=2, coordinates="every"),
}


def make_specformer(**arguments):
    return ms.spectra.SpecFormer(LENGTHS, 200, 200, 16, 2, 4, 16, **arguments)


def molspectra(denoise, *, norm="batch", **arguments):
    return ms.methods.MolSpectra(denoise, make_specformer(norm=norm), **arguments)


METHODS = {
    "Coord": lambda: ms.methods.Coord(16),
    "Coord, gradient": lambda: ms.methods.Coord(16, prediction="gradient"),
    "Coord, as released": lambda: ms.methods.Coord(16, as_released=True),
    "Frad": lambda: ms.methods.Frad(16),
    "Frad, vibration": lambda: ms.methods.Frad(16, mode="vibration"),
    "SliDe": lambda: ms.methods.SliDe(16),
    "SliDe and Coord": lambda: ms.methods.SliDe(16, coord_weight=1.0),
    "EMGP": lambda: ms.methods.EMGP(16, max_std=0.5),
    "EMGP, vector": lambda: ms.methods.EMGP(16, max_std=0.5, prediction="vector"),
    "EMGP, as released": lambda: ms.methods.EMGP(16, max_std=0.5, prediction="vector", as_released=True),
    "EMPP": lambda: ms.methods.EMPP(16),
    "EMPP, told the gap": lambda: ms.methods.EMPP(16, num_copies=2, label="gap", label_mean=8, label_std=2),
    "EMPP, pairs": lambda: ms.methods.EMPP(16, num_copies=2, reduce="pair"),
    "EMPP, as released": lambda: ms.methods.EMPP(16, num_copies=2, as_released=True),
    "DeNS": lambda: ms.methods.DeNS(16, molecule_ratio=0.9, atom_ratio=0.5),
    "SCD": lambda: ms.methods.SCD(16, dropout=0.0),
    "SE3DDM": lambda: ms.methods.SE3DDM(16),
    "SE3DDM, ordered pairs": lambda: ms.methods.SE3DDM(16, pairs="ordered", reduce="pair"),
    "MolSpectra": lambda: molspectra(ms.methods.Coord(16)),
    "MolSpectra on Frad": lambda: molspectra(ms.methods.Frad(16), mask_mode="patch"),
    "MolSpectra, layer norm, projection, temperature, chunks": lambda: molspectra(
        ms.methods.SliDe(16),
        norm="layer",
        molecule_projection=ms.layers.ProjectionMLP(16, 16),
        contrast=ms.objectives.InfoNCELoss(gather_distributed=True, learnable_temperature=True, chunk_size=2),
    ),
    "MaskedReconstruction": lambda: ms.methods.MaskedReconstruction(make_specformer()),
    "Combined": lambda: ms.methods.Combined(
        {
            "empp": (ms.methods.EMPP(16), 1.0),
            "frad": (ms.methods.Frad(16), 0.5),
            "masked": (ms.methods.MaskedReconstruction(make_specformer()), 0.1),
        }
    ),
    "Regression": lambda: ms.methods.Regression(ms.heads.ScalarHead(16), label="gap", loss="l1"),
    "Regression, atoms": lambda: ms.methods.Regression(
        ms.heads.AtomHead(16), label="mulliken_charge", level="atom", mask="is_heavy"
    ),
    "Regression, evidence": lambda: ms.methods.Regression(ms.heads.EvidentialHead(16), label="gap", loss="evidential"),
    "Regression, forces": lambda: ms.methods.Regression(
        ms.heads.ScalarHead(16), label="gap", forces="forces", loss="smooth_l1"
    ),
    "Regression, head for forces": lambda: ms.methods.Regression(
        ms.heads.ScalarHead(16), label="gap", forces="forces", force_head=ms.heads.VectorHead(16)
    ),
    "NoisyNodes": lambda: ms.methods.NoisyNodes(ms.methods.Coord(16), ms.heads.ScalarHead(16), label="gap"),
    "NoisyNodes, separate": lambda: ms.methods.NoisyNodes(
        ms.methods.Frad(16), ms.heads.ScalarHead(16), label="gap", forces="forces", separate=True
    ),
    "SpectraRegression": lambda: ms.methods.SpectraRegression(
        ms.heads.FusionHead(16, 16), make_specformer(), label="gap"
    ),
    "SpectrumPrediction, sticks": lambda: ms.methods.SpectrumPrediction(
        ms.heads.StickHead(16, {"ir": ms.data.IR}, fwhm=16.0), sticks=ms.objectives.StickLoss(500.0)
    ),
    "SpectrumPrediction": lambda: ms.methods.SpectrumPrediction(ms.heads.SpectrumHead(16, LENGTHS, spacing=50)),
}


REFUSED = [("DeNS", "EGNN")]  # EGNN has no place for forces as vectors
SLOW_OR_WITHOUT_ENCODER = ("EMPP, as released", "MaskedReconstruction")  # a fine grid is slow


def molecules():
    """Seven molecules in float64, some without spectra or labels, with numbered molecules and atoms."""
    chosen = ms.data.MiniSpectra("train", pre_transform=PREPARE)[[300, 5, 210, 40, 120, 8, 77]]
    prepared, first = [], 0
    draws = torch.Generator().manual_seed(3)
    for number, molecule in enumerate(chosen):
        molecule = copy.copy(molecule)
        for key, value in molecule.to_dict().items():
            molecule[key] = value.double() if torch.is_tensor(value) and value.is_floating_point() else value
        molecule.gap = molecule.gap.reshape(1, 1)
        molecule.is_heavy = molecule.z > 1
        molecule.sticks = torch.stack(chosen.sticks(number, "ir"), dim=1).double()
        molecule.num_sticks = torch.tensor([len(molecule.sticks)])
        molecule.forces = torch.randn(molecule.pos.shape, generator=draws, dtype=torch.float64)
        if number in (1, 5, 6):
            for kind in LENGTHS:
                molecule[kind] = torch.full_like(molecule[kind], torch.nan)
        if number == 2:
            molecule.ir, molecule.gap = (torch.full_like(value, torch.nan) for value in (molecule.ir, molecule.gap))
        molecule.number = torch.tensor([number])
        molecule.row = first + torch.arange(molecule.pos.shape[0])
        first += molecule.pos.shape[0]
        prepared.append(molecule)
    return prepared


class Recorded:
    """Noise drawn for the whole batch, from which each process takes the rows of its molecules."""

    def __init__(self, noise, whole):
        self.noisy = noise(whole, torch.Generator().manual_seed(7))
        self.changed = {key for key, value in self.noisy.to_dict().items() if whole.get(key) is not value}

    def __call__(self, data, generator=None):
        data = copy.copy(data)
        for key in self.changed:
            of_atoms = self.noisy[key].shape[0] == self.noisy.pos.shape[0]
            data[key] = self.noisy[key][data.row if of_atoms else data.number]
        return data


class RecordedMask(EMPPMask):
    """Mask of the first atoms of each molecule."""

    def draw(self, data, generator=None):
        return torch.cat([data.ptr[:-1] + copy for copy in range(self.num_copies)])


class RecordedDistances(ms.noise.DistanceNoise):
    """Noise of each molecule and pair by their numbers in the whole batch."""

    def __call__(self, data, generator=None):
        pairs = self.draw_pairs(data)
        first, second = data.row[pairs].double()
        return self.perturb(data, 7 * data.number % self.num_levels, pairs, torch.sin(3 * first + 5 * second))


def record(method, whole, mine):
    """Draw all random numbers of a method for the whole batch, of which `mine` are the molecules of this process."""
    for module in method.modules():
        if isinstance(module, ms.methods.EMPP):
            module.noise = RecordedMask(module.num_copies, labels=module.noise.labels)
        elif isinstance(module, ms.methods.PretextTask) and hasattr(module, "noise"):
            module.noise = Recorded(module.noise, whole)
            if isinstance(module, ms.methods.SCD):
                module.first_noise = Recorded(module.first_noise, whole)
            if isinstance(module, ms.methods.SE3DDM):
                module.distance_noise = RecordedDistances(pairs=module.distance_noise.pairs)
            if getattr(module, "coord_weight", 0) > 0:
                module.coord_noise = Recorded(module.coord_noise, module.noise.noisy)
        if isinstance(module, ms.methods.MolSpectra | ms.methods.MaskedReconstruction):
            spectra = {kind: whole[kind] for kind in LENGTHS}
            masks = module.mask(spectra, torch.Generator().manual_seed(8))
            module.mask = lambda given, _, masks=masks: {kind: masks[kind][mine] for kind in given.scaled}


def make(method, encoder, mine):
    torch.manual_seed(0)
    module, method = ENCODERS[encoder](), METHODS[method]()
    step = ms.methods.TrainingModule(module if getattr(method, "needs_encoder", True) else None, method).double()
    record(step.method, Batch.from_data_list(molecules()), mine)
    return step


def step_and_gradients(module, batch):
    losses = module(batch)
    losses["loss"].backward()
    return {name: loss.detach().clone() for name, loss in losses.items()}


def train(rank, method, encoder):
    """Compare two steps on the share of each process with two steps of one process on the whole batch."""
    sizes = SIZES[ms.distributed.world_size()]
    mine, everything = slice(sum(sizes[:rank]), sum(sizes[: rank + 1])), slice(None)
    step, alone = (make(method, encoder, which) for which in (mine, everything))
    # EGNN reads its table of elements transposed: DDP copies these gradients once more, which is harmless.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    parallel = DistributedDataParallel(step)
    share = Batch.from_data_list(molecules()[mine])
    if share.raman.isnan().all():
        del share.raman  # one process may lack a kind that another has
    for _ in range(2):  # the second step fails if the first left a parameter without a gradient
        losses = step_and_gradients(parallel, share)
        with ms.distributed.local_only():
            expected = step_and_gradients(alone, Batch.from_data_list(molecules()))
        for name, loss in losses.items():
            torch.distributed.all_reduce(loss)
            torch.testing.assert_close(loss / len(sizes), expected[name], rtol=1e-8, atol=1e-10, msg=name)
        for (name, parameter), reference in zip(step.named_parameters(), alone.parameters(), strict=True):
            if not parameter.requires_grad:
                continue
            scale = reference.grad.abs().max().clamp(min=1)
            difference = (parameter.grad - reference.grad).abs().max() / scale
            assert difference < 1e-8, f"{name}: {difference}"
        for module in (step, alone):
            for parameter in module.parameters():
                if parameter.requires_grad:
                    parameter.data -= 1e-3 * parameter.grad
                    parameter.grad = None
    buffers = dict(alone.named_buffers())
    for name, buffer in step.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], msg=lambda text, name=name: f"{name}: {text}")


def train_a_wrapped_task(rank):
    """Compare the gradients of the processes, each of which has molecules of its own."""
    task = DistributedDataParallel(ms.methods.Coord(16))
    batch = Batch.from_data_list(ms.data.MiniSpectra()[5 * rank : 5 * rank + 3])
    encoder = ENCODERS["PaiNN"]()
    for method in (ms.methods.NoisyNodes(task, ms.heads.ScalarHead(16), label="gap"), molspectra(task)):
        task.zero_grad()
        method(encoder, batch)["loss"].backward()
        for parameter in task.parameters():
            mean = parameter.grad.clone()
            torch.distributed.all_reduce(mean)
            torch.testing.assert_close(parameter.grad, mean / 2)


def test_a_task_is_called_through_its_wrapper(processes):
    processes.run(2, train_a_wrapped_task)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_the_whole_batch(processes, method):
    processes.run(2, train, method, "EquivariantTransformer")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["SliDe", "EMGP, as released", "EMPP, pairs", "MolSpectra", "NoisyNodes, separate"])
def test_so_they_are_with_four_processes(processes, method):
    processes.run(4, train, method, "EquivariantTransformer")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "encoder"),
    [
        (method, encoder)
        for method in METHODS
        for encoder in ("PaiNN", "EGNN")
        if method not in SLOW_OR_WITHOUT_ENCODER and (method, encoder) not in REFUSED
    ],
)
def test_so_they_are_with_every_encoder(processes, encoder, method):
    processes.run(2, train, method, encoder)
