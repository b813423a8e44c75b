"""Models of transformers that look at their inputs, or choose their experts: counted from shapes and for real."""

import pytest
import torch
from counting import count_both_ways, zeros
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import ulsam_cost as uc

transformers = pytest.importorskip("transformers")

DEVICES = pytest.mark.parametrize("device", ["cpu", "meta"])
TOKENS, WIDTH, HEADS, HEAD, EXPERTS, CHOSEN, HIDDEN, WORDS = 8, 32, 4, 8, 4, 2, 48, 20
COMMON = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "num_experts_per_tok": CHOSEN,
    "vocab_size": WORDS,
}
MIXTURES = {
    "mixtral": {"num_local_experts": EXPERTS, "intermediate_size": HIDDEN},
    "qwen3_moe": {"num_experts": EXPERTS, "moe_intermediate_size": HIDDEN, "head_dim": HEAD},
}


def by_hand(tokens):
    attention = 4 * (tokens * WIDTH * WIDTH) + 2 * HEADS * (tokens * tokens * HEAD)
    experts = tokens * WIDTH * EXPERTS + CHOSEN * 3 * (tokens * WIDTH * HIDDEN)
    return attention + experts + tokens * WIDTH * WORDS


@DEVICES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_of_experts_in_every_data_type(name, dtype, device):
    if name not in transformers.CONFIG_MAPPING:
        pytest.skip("this transformers has no such model")
    with torch.device(device):
        config = transformers.CONFIG_MAPPING[name](**COMMON, **MIXTURES[name])
        model = transformers.AutoModelForCausalLM.from_config(config).eval().to(dtype)
    count = uc.count(model, {"input_ids": torch.zeros(1, TOKENS, dtype=torch.int64, device=device)})
    assert (count.macs, count.uncounted, count.real_run) == (by_hand(TOKENS), (), "")
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def test_the_grouped_product_where_pytorch_has_no_kernel():
    pytest.importorskip("transformers.integrations.moe")
    if not hasattr(torch.ops.transformers, "grouped_mm_fallback"):
        pytest.skip("this transformers has no such operator")
    tokens, groups, width, hidden = 9, 3, 4, 6

    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(groups, hidden, width))

        def forward(self, x, ends):
            return torch.ops.transformers.grouped_mm_fallback(x, self.weight.transpose(-2, -1), ends)

    inputs = zeros(tokens, width), torch.tensor([2, 2, 9], dtype=torch.int32)
    count = count_both_ways(Experts(), inputs)
    assert (count.macs, count.params, count.uncounted) == (tokens * width * hidden, groups * hidden * width, ())
    inputs[0].requires_grad_()
    trained = uc.count(Experts(), inputs, train=True)
    assert (trained.macs, trained.uncounted) == (3 * (tokens * width * hidden), ())


def detr():
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    sizes = {
        f"{half}_{what}": size
        for half in ("encoder", "decoder")
        for what, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 24))
    }
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=16,
        num_queries=5,
        attn_implementation="eager",
        **sizes,
    )
    return transformers.DetrForObjectDetection(config).eval()


def longformer():
    config = transformers.LongformerConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        vocab_size=11,
        attention_window=[4, 4],
        max_position_embeddings=40,
    )
    return transformers.LongformerModel(config).eval()


IDS = torch.arange(24).reshape(2, 12) % 11
LOOKING = {
    "detr": (detr, {"pixel_values": zeros(1, 3, 32, 40), "pixel_mask": torch.ones(1, 32, 40, dtype=torch.int64)}),
    "longformer": (longformer, {"input_ids": IDS}),
    "longformer, global": (longformer, {"input_ids": IDS, "global_attention_mask": (IDS % 11 == 0).long()}),
}


@DEVICES
@pytest.mark.parametrize("name", LOOKING)
def test_models_that_look_at_their_inputs_as_the_live_tool_counts_them(name, device):
    build, inputs = LOOKING[name]
    real = build()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        real(**inputs)
    with torch.device(device):
        model = build()
    count = uc.count(model, inputs)
    assert (count.number("torch"), count.uncounted) == (counter.get_total_flops(), ())
    assert count.params == sum(parameter.numel() for parameter in real.parameters())
    assert bool(count.real_run) == (device == "cpu")
    assert bool(count.inputs_read) == (device == "meta")
