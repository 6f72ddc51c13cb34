"""Residual attention as it is written down: scores of (heads × n × n), added to those of the layer before."""

from torch import Tensor, nn

from molspectra.spectra.score_history import ScoreHistory


class ExplicitScores(ScoreHistory):
    """The same history with every tensor made explicitly."""

    def __init__(self, valid: Tensor, scale: float) -> None:
        super().__init__(valid, scale)
        self.scores: Tensor | float = 0.0

    def attend(self, query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0) -> Tensor:
        self.scores = query @ key.transpose(-2, -1) * self.scale + self.scores
        scores = self.scores
        if not self.valid.all():
            scores = scores.masked_fill(~self.valid[:, None, None, :], -1e30)
        self.weights = nn.functional.dropout(scores.softmax(dim=-1), dropout, training=dropout > 0)
        return self.weights @ value

    def attention_map(self) -> Tensor:
        return self.weights
