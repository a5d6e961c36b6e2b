"""The network: a residual CNN with one feature map at each of 56², 28², 14² and 7².

Its head is a global average and a linear map *without bias*. Features that are zero everywhere therefore give the same logit
to every class: the result for nothing is exactly chance.
"""

import torch
from torch import nn

STAGES = (16, 32, 64, 128)  # channels at 56², 28², 14², 7²


class Block(nn.Module):
    """relu(shortcut(x) + conv(relu(conv(x)))) at half the resolution; the shortcut is a 1×1 convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = convolution(inputs, outputs, 3, 2)
        self.second = convolution(outputs, outputs, 3, 1)
        self.shortcut = convolution(inputs, outputs, 1, 2)

    def forward(self, x):
        return torch.relu(self.shortcut(x) + self.second(torch.relu(self.first(x))))


class Network(nn.Module):
    """N×3×112×112 in −1..1 to N×classes logits."""

    def __init__(self, classes: int):
        super().__init__()
        self.stem = convolution(3, STAGES[0], 5, 2)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in zip(STAGES, STAGES[1:]))
        self.head = nn.Linear(STAGES[-1], classes, bias=False)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """A convolution and its batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )
