"""A small network as a file, for the tests of the runtimes that it is exported to."""

NET = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 5, 1)
    return nn.Sequential(*layers).eval(), torch.randn(2, 3, 9, 8)
"""
MACS = 2 * (7 * 6 * 8 * 3 * 3 * 3 + 7 * 6 * 5 * 8)
WEIGHTS = 8 * 3 * 3 * 3 + 5 * 8
