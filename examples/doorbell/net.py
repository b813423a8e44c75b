"""The network of a doorbell camera: who is at the door, from one image of 160 x 160."""

import torch
from torch import Tensor, nn

# channels, stride of each block
BLOCKS = [(24, 1), (32, 2), (32, 1), (64, 2), (64, 1), (64, 1), (96, 2), (96, 1), (96, 1), (160, 2), (160, 1), (160, 1)]
CLASSES = ("nobody", "person", "parcel", "animal")
EXPANSION = 3


def unit(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, its norm and its activation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.Hardswish())


class Block(nn.Module):
    """Expand, filter each channel, project; where the shape is kept, the input is added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        hidden = EXPANSION * inputs
        self.expand = unit(inputs, hidden, 1)
        self.filter = unit(hidden, hidden, 5, stride=stride, groups=hidden)
        self.project = nn.Sequential(nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, h / stride, w / stride]."""
        y: Tensor = self.project(self.filter(self.expand(x)))
        return x + y if self.adds else y


class DoorbellNet(nn.Module):
    """A stem, twelve blocks, a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        channels = [16, *(outputs for outputs, _ in BLOCKS)]
        self.stem = unit(3, channels[0], 3, stride=2)
        self.layers = nn.Sequential(
            *(Block(inputs, outputs, stride) for inputs, (outputs, stride) in zip(channels, BLOCKS, strict=False))
        )
        self.classifier = nn.Linear(channels[-1], len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        result: Tensor = self.classifier(self.layers(self.stem(images)).mean((2, 3)))
        return result


def net() -> tuple[nn.Module, Tensor]:
    """The network in evaluation mode, and an image."""
    return DoorbellNet().eval(), torch.zeros(1, 3, 160, 160)
