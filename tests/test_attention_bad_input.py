"""What the attention mechanisms refuse, and what they say then."""

import numpy as np
import pytest
import sympy
import torch

from ulsam_cost.errors import CostError, SizeError, UnknownNameError
from ulsam_cost.formulas.attention import REGISTERED, attention_cost, get_mechanism
from ulsam_cost.formulas.attention.aw import aw_conv2d_cost
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.nn.attention.aw import AWConv2d
from ulsam_cost.nn.attention.ge import GE

SIZES = {"channels": 20, "height": 7, "width": 5}


class TestBadInput:
    @pytest.mark.parametrize("name", [name for name in REGISTERED if "reduction" in get_mechanism(name).options])
    def test_a_reduction_that_leaves_nothing(self, name):
        options = {"reduction": 21, **({"style": "theta-plus", "extent": 4} if name == "ge" else {})}
        message = r"r = 21 leaves no channel of m = 20: 1 to 20 is accepted"
        with pytest.raises(SizeError, match=message):
            attention_cost(name, **SIZES, **options)
        with pytest.raises(SizeError, match=message):
            build_attention(name, 20, **options)

    @pytest.mark.parametrize(
        "wrong", [0, -1, 2.0, 7.5, True, "7", None, np.array([7.0]), np.array([0, 7]), np.array([])]
    )
    @pytest.mark.parametrize("size", ["channels", "height", "width", "batch"])
    @pytest.mark.parametrize("name", REGISTERED)
    def test_sizes_that_are_no_positive_whole_numbers(self, name, size, wrong):
        with pytest.raises(SizeError, match=f"{size} = .*: a positive whole number is accepted"):
            attention_cost(name, **{**SIZES, size: wrong})

    @pytest.mark.parametrize("wrong", [sympy.Float(2.5), sympy.Integer(-3), sympy.Symbol("x", negative=True)])
    def test_symbols_that_are_no_positive_whole_numbers(self, wrong):
        with pytest.raises(SizeError, match="a positive whole number is accepted"):
            attention_cost("se", **{**SIZES, "channels": wrong})

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("a2", {"maps": 0}, "maps t = 0: a positive whole number is accepted"),
            ("a2", {"maps": 2.5}, "maps t = 2.5"),
            ("se", {"reduction": 0}, "reduction = 0: a positive whole number"),
            ("bam", {"dilation": 0}, "dilation = 0"),
            ("bam", {"style": "released"}, "style = 'released': accepted are equation, release"),
            ("cbam", {"kernel": 6}, "kernel = 6: an odd one is accepted"),
            ("sk", {"kernel": 2}, "kernel = 2: an odd one is accepted"),
            ("aw", {"kernel": 4}, "kernel = 4: an odd one is accepted"),
            ("sk", {"branches": 1}, "branches = 1: 2 or more are accepted"),
            ("sk", {"groups": 3}, "groups = 3 does not divide channels = 20; accepted are 1, 2, 4, 5, 10, 20"),
            ("sk", {"groups": 2.0}, "groups = 2.0"),
            ("sk", {"stride": 0}, "stride = 0"),
            ("sk", {"activation": "gelu"}, "activation = 'gelu': accepted are relu, relu6"),
            ("aw", {"map_reduction": 6}, "map_reduction = 6 does not divide channels = 20"),
            ("ulsam", {"groups": 3}, "g = 3 does not divide m = 20"),
            ("ulsam", {"style": "equations"}, "style = 'equations': accepted are equation, release"),
            ("ge", {"style": "theta+"}, "style = 'theta\\+': accepted are theta-minus, theta, theta-plus"),
            ("ge", {"extent": 3}, "extent = 3: a power of two from 2 on is accepted, or 0 for the whole map"),
            ("ge", {"extent": 1}, "extent = 1: a power of two"),
            ("ge", {"extent": False}, "extent = False"),
            ("ge", {"extent": -2}, "extent = -2"),
            ("ge", {"extent": 2.0}, "extent = 2.0"),
        ],
    )
    def test_options_that_neither_formula_nor_module_take(self, name, options, message):
        options = {"reduction": 4, **options} if name not in {"ulsam"} else options
        with pytest.raises(CostError, match=message):
            attention_cost(name, **SIZES, **options)
        with pytest.raises(CostError, match=message):
            build_attention(name, 20, **options)

    # the extents that the shorter side holds: those below twice of it
    @pytest.mark.parametrize(("h", "w", "largest"), [(7, 7, 8), (14, 5, 8), (4, 9, 4), (2, 2, 2), (16, 16, 16)])
    @pytest.mark.parametrize("style", ["theta-minus", "theta", "theta-plus"])
    def test_an_extent_that_the_map_cannot_hold(self, style, h, w, largest):
        module = {"style": style, "reduction": 4}
        attention_cost("ge", channels=20, height=h, width=w, extent=largest, **module)
        message = f"extent = {2 * largest} on a map of {h} x {w}: less than twice its shorter side is accepted"
        with pytest.raises(SizeError, match=message):
            attention_cost("ge", channels=20, height=h, width=w, extent=2 * largest, **module)
        with pytest.raises(SizeError, match=message):
            GE(20, extent=2 * largest, **module)(torch.ones(1, 20, h, w))

    def test_an_extent_that_one_map_of_a_sweep_cannot_hold(self):
        with pytest.raises(SizeError, match="extent = 8 on a map of"):
            attention_cost("ge", channels=20, height=np.array([14, 7, 4]), width=14)

    def test_a_map_size_that_is_not_the_maps(self):
        with pytest.raises(SizeError, match=r"map_size = 14: the map's own 7 x 5 is accepted"):
            attention_cost("ge", **SIZES, extent=0, map_size=14)
        with pytest.raises(SizeError, match="map_size = None"):
            build_attention("ge", 20, extent=0)
        with pytest.raises(SizeError, match="map_size = 0"):
            build_attention("ge", 20, extent=0, map_size=0)

    def test_the_nearest_mechanism_and_option_are_offered(self):
        for ask in (
            lambda name, **o: attention_cost(name, **SIZES, **o),
            lambda name, **o: build_attention(name, 20, **o),
        ):
            with pytest.raises(UnknownNameError, match="unknown attention mechanism 'cbm': did you mean 'cbam'"):
                ask("cbm")
            with pytest.raises(UnknownNameError, match="unknown option of se 'reductoin': did you mean 'reduction'"):
                ask("se", reductoin=4)

    def test_a_module_of_no_channels(self):
        for name in REGISTERED:
            for wrong in (0, -4, 16.0):
                with pytest.raises(SizeError, match=f"channels = {wrong}: a positive whole number"):
                    build_attention(name, wrong)

    def test_a_convolution_in_groups(self):
        with pytest.raises(SizeError, match="groups = 4: 1 is accepted"):
            AWConv2d(32, 32, 3, groups=4)

    def test_a_kernel_that_does_not_fit(self):
        module = AWConv2d(32, 32, 3)
        with pytest.raises(SizeError, match="a window of 3 does not fit a map of 2"):
            module(torch.ones(2, 32, 2, 2))
        with pytest.raises(SizeError, match="a window of 3 does not fit a map of 2"):
            aw_conv2d_cost((1, 32, 2, 2), 32, kernel=3, hidden=2)

    def test_a_sweep_in_which_the_map_is_shared_only_here_and_there(self):
        with pytest.raises(SizeError, match="map_reduction"):
            attention_cost("aw", channels=np.array([32, 64]), height=7, width=7, map_reduction=32)
