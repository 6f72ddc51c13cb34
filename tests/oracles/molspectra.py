"""A training step of MolSpectra from the explicit encoders, its three losses written out."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Batch

from molspectra.encoders import AtomFeatures, EquivariantTransformer
from molspectra.methods import MolSpectra
from tests.oracles.equivariant_transformer import explicit_transformer
from tests.oracles.specformer import explicit_specformer


def explicit_losses(
    encoder: EquivariantTransformer, method: MolSpectra, batch: Batch, generator: torch.Generator
) -> dict[str, Tensor]:
    """What `method(encoder, batch, generator)` should give, where the noise is Coord's and no spectrum is missing."""
    spectra = {kind: batch[kind] for kind in method.specformer.kinds}
    noisy = method.task.noise(batch, generator)
    masked = method.mask(spectra, generator)

    atoms = explicit_transformer(encoder, noisy.z, noisy.pos, noisy.batch)
    displacement = method.task.head(AtomFeatures(atoms.scalars, atoms.vectors))
    scale = noisy.pos_target.double().square().mean().sqrt()
    denoising = F.mse_loss(displacement, (noisy.pos_target / scale).to(displacement.dtype))

    hidden, embedding = explicit_specformer(method.specformer, spectra, masked)
    reconstruction, start = torch.zeros(()), 0
    for kind, patcher in method.specformer.patchers.items():
        tokens = hidden[:, start : start + patcher.num_patches]
        start += patcher.num_patches
        true = method.specformer.scalings[kind](spectra[kind]).unfold(1, patcher.patch_len, patcher.stride)
        is_hidden = masked[kind].unfold(1, patcher.patch_len, patcher.stride)
        error = (method.reconstruct.projections[kind](tokens) - true)[is_hidden]
        reconstruction = reconstruction + error.square().mean()

    molecules = torch.stack([atoms.scalars[noisy.batch == m].sum(0) for m in range(batch.num_graphs)])
    similarity = F.normalize(molecules, dim=1) @ F.normalize(embedding, dim=1).T / method.contrast.temperature
    pairs = torch.arange(len(similarity))
    contrastive = (F.cross_entropy(similarity, pairs) + F.cross_entropy(similarity.T, pairs)) / 2
    return {
        "loss": denoising + contrastive + reconstruction,
        "denoising": denoising,
        "contrastive": contrastive,
        "reconstruction": reconstruction,
    }
