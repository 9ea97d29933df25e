"""A block of a transformer and the training of one, by PyTorch."""
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


class CharTransformer:
    """That of char_transformer, small: 1 block of width 16 over 8 of 11 characters."""
    WIDTH, TIME, KINDS = 16, 8, 11

    def __init__(self):
        from torch import nn

        w = self.WIDTH
        self.module = nn.ModuleDict(dict(
            token=nn.Embedding(self.KINDS, w), place=nn.Embedding(self.TIME, w), n1=nn.LayerNorm(w), qkv=nn.Linear(w, 3 * w),
            out=nn.Linear(w, w), n2=nn.LayerNorm(w), up=nn.Linear(w, 4 * w), down=nn.Linear(4 * w, w), norm=nn.LayerNorm(w),
            head=nn.Linear(w, self.KINDS)))

    def __call__(self, x):
        import torch.nn.functional as F

        m = self.module
        h = m["token"](x) + m["place"].weight
        n, t, d = h.shape
        q, k, v = m["qkv"](m["n1"](h)).view(n, t, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
        h = h + m["out"](F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, d))
        h = h + m["down"](F.gelu(m["up"](m["n2"](h)), approximate="tanh"))
        return m["head"](m["norm"](h))

    def weights(self):
        m = self.module
        found = {"characters/token_embedding/embeddings": m["token"].weight,
                 "characters/position_embedding/embeddings": m["place"].weight}
        for ours, linear in (("block/attention/attention_output", "out"), ("block/intermediate", "up"),
                             ("block/output", "down"), ("head", "head")):
            found[f"{ours}/kernel"], found[f"{ours}/bias"] = m[linear].weight.T, m[linear].bias
        for i, part in enumerate(("query", "key", "value")):
            rows = slice(i * self.WIDTH, (i + 1) * self.WIDTH)
            found[f"block/attention/{part}/kernel"] = m["qkv"].weight[rows].T
            found[f"block/attention/{part}/bias"] = m["qkv"].bias[rows]
        for ours, norm in (("block/attention_norm", "n1"), ("block/feedforward_norm", "n2"), ("norm", "norm")):
            found[f"{ours}/gamma"], found[f"{ours}/beta"] = m[norm].weight, m[norm].bias
        return {n: v.detach().numpy().copy() for n, v in found.items()}


def training_case():
    import torch
    import torch.nn.functional as F

    torch.manual_seed(5)
    model = CharTransformer()
    weights = model.weights()
    optimizer = torch.optim.AdamW(model.module.parameters(), 1e-2, weight_decay=0.01)
    r = random(9)
    batches, losses = [], []
    for _ in range(20):
        text = r.integers(0, model.KINDS, (4, model.TIME + 1))
        text[:, 1::2] = (text[:, :-1:2] * 3 + 1) % model.KINDS  # every second one can be learned
        x, y = torch.from_numpy(text[:, :-1].copy()), torch.from_numpy(text[:, 1:].copy())
        loss = F.cross_entropy(model(x).transpose(1, 2), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        batches.append({"features": [tensor(x)], "labels": tensor(y)})
    text = """
model {
  layers { name: "characters" token_and_position_embedding { vocabulary: 11 sequence_length: 8 dimension: 16 } }
  layers { name: "block" transformer_block { num_heads: 2 intermediate_dim: 64 activation: GELU_TANH use_causal_mask: true } }
  layers { name: "norm" layer_norm { epsilon: 1e-5 } }
  layers { name: "head" dense { units: 11 } }
}
loss { sparse_categorical_cross_entropy {} }
optimizer { adamw { epsilon: 1e-8 weight_decay: 0.01 } learning_rate: 0.01 }
"""
    return {"kind": "training", "name": "char_transformer", "text": text, "weights": tensors(weights), "batches": batches,
            "losses": losses, "tolerance": 1e-4}


def cases():
    x = random(4).normal(size=(2, 5, 6)).astype(np.float32)
    import torch  # noqa: F401: named when it is missing

    options = "num_heads: 2 intermediate_dim: 12"
    return [
        block_case("transformer_block", f"transformer_block {{ {options} }}", x, True, False, "relu"),
        block_case("transformer_block_causal", f"transformer_block {{ {options} use_causal_mask: true }}", x, True, True, "relu"),
        block_case("transformer_block_norm_last", f"transformer_block {{ {options} normalize_first: false }}", x, False, False,
                   "relu"),
        training_case(),
    ]
