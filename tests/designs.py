"""A small network and a design of it, for the tests of reviews."""

NET = """
import uuid

import torch
from torch import nn

class Gate(nn.Module):
    def __init__(self, channels, extra=False):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 2, 1, bias=False), nn.Conv2d(2, channels, 1, bias=False)
        self.extra = nn.ReLU() if extra else nn.Identity()
    def forward(self, x):
        return x * self.up(self.extra(self.down(x.mean((2, 3), keepdim=True)))).sigmoid()

def build(*after, width=8):
    body = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), *after)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), body, head)

def net(): return build()
def gated(): return build(Gate(8))
def slim(): return build(width=6)
def raises(): raise RuntimeError("no such weights\\nsee the log")
def fails(): return build(nn.Linear(3, 3))
def wide(): return nn.Sequential(build(), nn.Linear(4, 5))
def own(): return build(), torch.zeros(1, 3, 8, 8)

operator = torch.library.custom_op(f"doorbell_{uuid.uuid4().hex}::matmul_twice", mutates_args=())
def matmul_twice(x: torch.Tensor) -> torch.Tensor: return x @ x @ x
twice = operator(matmul_twice)
twice.register_fake(torch.empty_like)

class Narrow(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 1)
    def forward(self, x): return self.conv(x)

class Unknown(nn.Module):
    def forward(self, x): return twice(x)
def unknown(): return build(Unknown())
"""
DESIGN = """title = "A doorbell"
baseline = "net.py:net"
input = "1x3x16x16"
conventions = ["macs", "fvcore"]

[budget]
macs = "71.73K"
uncounted = 0

[[candidate]]
name = "gated"
model = "net.py:gated"
accuracy = 71.9

[[candidate]]
name = "slim"
model = "net.py:slim"
budget = { params = "1K" }
"""
STEM, BODY, HEAD = 8 * 3 * 3 * 3 * 16 * 16, 8 * 8 * 16 * 16, 8 * 4
GATE = 8 * 2 + 2 * 8


def write(folder, design=DESIGN, net=NET):
    """The files in a folder, and the path of the design."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.py").write_text(net)
    path = folder / "design.toml"
    path.write_text(design)
    return path
