"""Denoising that predicts spectra as well. A module of its own, so that saved trainings name the class by one name."""

import torch
from torch import nn
from torch_geometric.data import Data

import molspectra as ms


class AlsoPredictSpectra(ms.methods.PretextTask):
    """Denoising that predicts spectra from the features of the perturbed molecules as well.

    Args:
        task: The denoising.
        head: Head that predicts the spectra.
        weight: Weight of the prediction.
    """

    def __init__(self, task: nn.Module, head: nn.Module, weight: float) -> None:
        super().__init__()
        self.task = task
        self.head = head
        self.weight = weight
        self.objective = ms.objectives.SpectrumLoss()

    def run(self, encoder: nn.Module, batch: Data, generator: torch.Generator | None = None) -> ms.methods.TaskOutput:
        """Add the error of the spectra to the loss of the denoising."""
        output = self.task.run(encoder, batch, generator)
        target = {kind: batch[kind] for kind in self.head.lengths}
        prediction = self.objective(self.head(output.atoms, output.data), target)
        return output._replace(loss=output.loss + self.weight * prediction)
