"""A block of a transformer, by PyTorch."""
import numpy as np

from peer import random, tensor, tensors


def made_with():
    import torch

    return f"torch {torch.__version__}"


def block_weights(block, width):
    """Those of a nn.TransformerEncoderLayer, by our names."""
    a = block.self_attn
    kernels, biases = a.in_proj_weight.split(width), a.in_proj_bias.split(width)
    found = {}
    for part, kernel, bias in zip(("query", "key", "value"), kernels, biases):
        found[f"attention/{part}/kernel"], found[f"attention/{part}/bias"] = kernel.T, bias
    found["attention/attention_output/kernel"] = a.out_proj.weight.T
    found["attention/attention_output/bias"] = a.out_proj.bias
    for ours, norm in (("attention_norm", block.norm1), ("feedforward_norm", block.norm2)):
        found[f"{ours}/gamma"], found[f"{ours}/beta"] = norm.weight, norm.bias
    for ours, dense in (("intermediate", block.linear1), ("output", block.linear2)):
        found[f"{ours}/kernel"], found[f"{ours}/bias"] = dense.weight.T, dense.bias
    return {n: v.detach().numpy() for n, v in found.items()}


def shake(module, seed):
    """Random values for every parameter: biases and norms do not start at 0 and 1."""
    import torch

    r = random(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.from_numpy(r.normal(0, 0.4, p.shape).astype(np.float32)))


def block_case(name, text, x, norm_first, causal, activation):
    import torch
    from torch import nn

    width = x.shape[-1]
    block = nn.TransformerEncoderLayer(width, 2, 12, dropout=0.0, activation=activation, batch_first=True,
                                       norm_first=norm_first)
    shake(block, 3)
    given = torch.from_numpy(x).requires_grad_()
    mask = torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), 1) if causal else None
    y = block(given, src_mask=mask, is_causal=causal)
    (y * torch.cos(torch.arange(y.numel(), dtype=torch.float32)).reshape(y.shape)).sum().backward()
    return {"kind": "layer", "name": name, "text": text, "training": False, "inputs": [tensor(x)],
            "weights": tensors(block_weights(block, width)), "outputs": [tensor(y)],
            "input_gradients": [tensor(given.grad)], "tolerance": 1e-4}


def cases():
    x = random(4).normal(size=(2, 5, 6)).astype(np.float32)
    import torch  # noqa: F401: named when it is missing

    options = "num_heads: 2 intermediate_dim: 12"
    return [
        block_case("transformer_block", f"transformer_block {{ {options} }}", x, True, False, "relu"),
        block_case("transformer_block_causal", f"transformer_block {{ {options} use_causal_mask: true }}", x, True, True, "relu"),
        block_case("transformer_block_norm_last", f"transformer_block {{ {options} normalize_first: false }}", x, False, False,
                   "relu"),
    ]
