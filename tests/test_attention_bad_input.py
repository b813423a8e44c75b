"""What the attention mechanisms refuse, and what they say then."""

import numpy as np
import pytest
import sympy
import torch
from mechanisms import CASES

from ulsam_cost.errors import CostError, SizeError, UnknownNameError
from ulsam_cost.formulas.attention import REGISTERED, attention_cost, get_mechanism
from ulsam_cost.formulas.attention.aw import aw_conv2d_cost
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.nn.attention.aw import AWConv2d
from ulsam_cost.nn.attention.ge import GE

SIZES = {"channels": 20, "height": 7, "width": 5}


class TestBadInput:
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
        ("name", "options", "message"), [(name, *refused) for name, case in CASES.items() for refused in case.refused]
    )
    def test_options_that_neither_formula_nor_module_take(self, name, options, message):
        if "reduction" in get_mechanism(name).options:
            options = {"reduction": 4, **options}
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
