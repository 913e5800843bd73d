"""An ensemble of small networks that are evaluated and fitted together."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Ensemble(nn.Module):
    """E perceptrons with one hidden layer each, as stacked weights that are drawn independently."""

    def __init__(self, members: int, fan_in: int, hidden: int, fan_out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = self._drawn(members, fan_in, hidden, generator)
        self.second = self._drawn(members, hidden, fan_out, generator)
        self.first_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.second_bias = nn.Parameter(torch.zeros(members, 1, fan_out))

    @staticmethod
    def _drawn(members: int, fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Parameter:
        bound = (6.0 / (fan_in + fan_out)) ** 0.5
        return nn.Parameter((torch.rand(members, fan_in, fan_out, generator=generator) * 2.0 - 1.0) * bound)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (E, ..., out) of inputs (..., in)."""
        rows = x.reshape(1, -1, x.shape[-1]).expand(len(self.first), -1, -1)
        hidden = functional.relu(torch.baddbmm(self.first_bias, rows, self.first))
        return torch.baddbmm(self.second_bias, hidden, self.second).view(-1, *x.shape[:-1], self.second.shape[-1])
