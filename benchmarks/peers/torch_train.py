#!/usr/bin/env python3
"""What PyTorch does with the models of `trireme bench train`, as a peer to measure beside.

    torch_train.py --model resnet50 --device cuda --precision bf16 --batch 128 --compile

Prints one JSON line with the keys of `trireme bench train`: samples/s is the median of the timed blocks. The work of a step is
the same: a batch of shuffled examples, forward and backward pass, one optimizer step, and the loss fetched.

PyTorch is given what suits it: on a GPU the whole data set lies in the GPU's memory, convolutions run on channels-last tensors
with cuDNN's search for the fastest algorithm, optimizers are the fused ones where there are some, and bf16 is autocast's.
float32 means float32: TF32 is used with --tf32 only.
"""
import argparse
import json
import resource
import statistics
import sys
import time

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as error:
    sys.exit(f"torch_train.py: PyTorch is not there: {error}")


class Residual(nn.Module):
    """relu(layers(x) + shortcut(x))"""

    def __init__(self, layers, shortcut=None):
        super().__init__()
        self.layers = layers
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x):
        return F.relu(self.layers(x) + self.shortcut(x))


def conv_norm(inputs, filters, kernel, stride=1):
    return [nn.Conv2d(inputs, filters, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(filters)]


def bottleneck_stage(inputs, filters, blocks, stride):
    stage = []
    for index in range(blocks):
        step = stride if index == 0 else 1
        layers = nn.Sequential(*conv_norm(inputs, filters, 1), nn.ReLU(), *conv_norm(filters, filters, 3, step), nn.ReLU(),
                               *conv_norm(filters, 4 * filters, 1))
        shortcut = nn.Sequential(*conv_norm(inputs, 4 * filters, 1, step)) if index == 0 else None
        stage.append(Residual(layers, shortcut))
        inputs = 4 * filters
    return stage


def resnet50():
    """He et al. 2016, with the stride in the 3x3 convolutions ("v1.5")."""
    stem = [*conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    stages = [*bottleneck_stage(64, 64, 3, 1), *bottleneck_stage(256, 128, 4, 2), *bottleneck_stage(512, 256, 6, 2),
              *bottleneck_stage(1024, 512, 3, 2)]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def dense(*units):
    layers = [nn.Flatten()]
    for i in range(len(units) - 1):
        layers += [nn.Linear(units[i], units[i + 1]), nn.ReLU()]
    return layers[:-1]


def lenet():
    return nn.Sequential(nn.ZeroPad2d(2), nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), *dense(400, 120, 84, 10))


def cifar_cnn():
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2),
                         nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(),
                         nn.Linear(4096, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 10))


class Dlrm(nn.Module):
    """Naumov et al. 2019, with one table for all categories, whose gradient is sparse."""

    def __init__(self, rows=5_000_000, dimension=16, numbers=13, categories=26):
        super().__init__()
        self.table = nn.Embedding(rows, dimension, sparse=True)
        nn.init.uniform_(self.table.weight, -0.05, 0.05)
        self.bottom = nn.Sequential(nn.Linear(numbers, 64), nn.ReLU(), nn.Linear(64, dimension), nn.ReLU())
        vectors = categories + 1
        self.top = nn.Sequential(nn.Linear(dimension + vectors * (vectors - 1) // 2, 128), nn.ReLU(), nn.Linear(128, 64),
                                 nn.ReLU(), nn.Linear(64, 1))
        below = torch.tril_indices(vectors, vectors, -1)
        self.register_buffer("pairs", below[0] * vectors + below[1])

    def forward(self, numbers, keys):
        bottom = self.bottom(numbers)
        vectors = torch.cat([bottom.unsqueeze(1), self.table(keys).to(bottom.dtype)], 1)
        dots = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)[:, self.pairs]
        return self.top(torch.cat([bottom, dots], 1)).squeeze(1)


class CharLstm(nn.Module):
    def __init__(self, characters=65):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(characters, 64), nn.LSTM(64, 256, 2, batch_first=True)
        self.head = nn.Linear(256, characters)

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0]).transpose(1, 2)


class CharTransformer(nn.Module):
    """4 blocks, 128 wide, 4 heads: norms first, learned positions, GELU by tanh."""

    def __init__(self, characters=65, context=128, width=128, heads=4):
        super().__init__()
        self.token, self.place = nn.Embedding(characters, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"norm1": nn.LayerNorm(width), "qkv": nn.Linear(width, 3 * width),
                           "out": nn.Linear(width, width), "norm2": nn.LayerNorm(width),
                           "up": nn.Linear(width, 4 * width), "down": nn.Linear(4 * width, width)})
            for _ in range(4))
        self.norm, self.head, self.heads = nn.LayerNorm(width), nn.Linear(width, characters), heads

    def forward(self, x):
        h = self.token(x) + self.place.weight
        n, t, width = h.shape
        for b in self.blocks:
            packed = b["qkv"](b["norm1"](h)).view(n, t, 3, self.heads, width // self.heads)
            q, k, v = packed.permute(2, 0, 3, 1, 4)
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            h = h + b["out"](seen.transpose(1, 2).reshape(n, t, width))
            h = h + b["down"](F.gelu(b["up"](b["norm2"](h)), approximate="tanh"))
        return self.head(self.norm(h)).transpose(1, 2)


def characters(device, count=1 << 20, context=128):
    """Windows over a text, each with the same window one character on as its label."""
    text = torch.randint(65, (count,), generator=torch.Generator().manual_seed(1)).to(device)
    windows = text.unfold(0, context + 1, 1)
    return windows[:, :-1], windows[:, 1:]


def noise_images(count, channels, side, classes):
    """u8 pixels, scaled to [0, 1] in each step, as Trireme keeps them."""

    def make(device):
        generator = torch.Generator().manual_seed(1)
        images = torch.randint(256, (count, channels, side, side), dtype=torch.uint8, generator=generator)
        labels = torch.randint(classes, (count,), generator=generator)
        return images.to(device, memory_format=torch.channels_last), labels.to(device)

    return make


def clicks(device, count=256 << 10, rows=5_000_000, categories=26):
    """Numbers, and keys of which rank r of a category is r^-1.1 as frequent as the first."""
    generator = torch.Generator().manual_seed(1)
    each = rows // categories
    cumulative = torch.arange(1, each + 1, dtype=torch.float64).pow(-1.1).cumsum(0)
    drawn = torch.rand(count, categories, dtype=torch.float64, generator=generator) * cumulative[-1]
    keys = torch.searchsorted(cumulative, drawn) + torch.arange(categories) * each
    numbers = torch.rand(count, 13, generator=generator) * 4
    labels = (torch.rand(count, generator=generator) < 0.25).float()
    return numbers.to(device), keys.to(device), labels.to(device)


MODELS = {  # layers, data, optimizer
    "mlp": (lambda a: nn.Sequential(*dense(784, 128, 64, 10)), lambda a: noise_images(8192, 1, 28, 10), "sgd"),
    "mlp_large": (lambda a: nn.Sequential(*dense(784, 2048, 2048, 2048, 10)), lambda a: noise_images(8192, 1, 28, 10), "sgd"),
    "lenet": (lambda a: lenet(), lambda a: noise_images(8192, 1, 28, 10), "adam"),
    "cifar_cnn": (lambda a: cifar_cnn(), lambda a: noise_images(8192, 3, 32, 10), "adam"),
    "resnet50": (lambda a: resnet50(), lambda a: noise_images(1024, 3, a.side, 1000), "momentum"),
    "char_lstm": (lambda a: CharLstm(), lambda a: characters, "adam"),
    "char_transformer": (lambda a: CharTransformer(), lambda a: characters, "adamw"),
    "dlrm": (lambda a: Dlrm(), lambda a: clicks, "adagrad"),
}


def make_optimizer(name, model, device):
    fused = {"fused": True} if device == "cuda" else {}
    if name == "adam":
        return torch.optim.Adam(model.parameters(), 1e-3, **fused)
    if name == "adamw":
        return torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01, **fused)
    if name == "momentum":
        return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, **fused)
    if name == "adagrad":  # sparse gradients have no fused form
        return torch.optim.Adagrad(model.parameters(), 0.02, initial_accumulator_value=1e-6)
    return torch.optim.SGD(model.parameters(), 0.01, **fused)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="lenet")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=20)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--side", type=int, default=224, help="height and width of the images of resnet50")
    parser.add_argument("--compile", nargs="?", const="default", metavar="MODE",
                        help="torch.compile the forward and backward pass: default, reduce-overhead (CUDA graphs) or max-autotune")
    parser.add_argument("--tf32", action="store_true", help="allow TF32 in float32 products")
    a = parser.parse_args()
    if a.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch_train.py: PyTorch finds no GPU")

    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = a.tf32
    torch.backends.cudnn.allow_tf32 = a.tf32
    make_model, make_data, optimizer_name = MODELS[a.model]
    data = make_data(a)(a.device)
    model = make_model(a).to(a.device)
    parameters = sum(p.numel() for p in model.parameters())
    if a.model not in ("dlrm", "char_lstm", "char_transformer"):
        model = model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(optimizer_name, model, a.device)

    def loss_of(*batch):
        with torch.autocast(a.device, dtype=torch.bfloat16, enabled=a.precision == "bf16"):
            if a.model == "dlrm":
                numbers, keys, labels = batch
                return F.binary_cross_entropy_with_logits(model(numbers, keys).float(), labels)
            images, labels = batch
            if a.model.startswith("char_"):
                return F.cross_entropy(model(images).float(), labels)
            return F.cross_entropy(model(images.float() / 255), labels)

    run_loss = torch.compile(loss_of, mode=a.compile) if a.compile else loss_of
    generator = torch.Generator(device=a.device).manual_seed(100)
    examples = len(data[0])

    def step():
        index = torch.randint(examples, (a.batch,), generator=generator, device=a.device)
        optimizer.zero_grad(set_to_none=True)
        loss = run_loss(*(column[index] for column in data))
        loss.backward()
        optimizer.step()
        return loss.item()

    first = None
    for _ in range(a.warmup):
        loss = step()
        first = loss if first is None else first
    rates = []
    for _ in range(a.blocks):
        start = time.perf_counter()
        for _ in range(a.steps):
            loss = step()
        rates.append(a.steps * a.batch / (time.perf_counter() - start))
    line = {"peer": "torch-" + torch.__version__, "model": a.model, "workers": 1, "threads": a.threads,
            "batch_per_worker": a.batch, "samples_per_s": round(statistics.median(rates), 1), "min": round(min(rates), 1),
            "max": round(max(rates), 1), "loss": round(loss, 4), "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "precision": a.precision, "device": a.device, "compiled": a.compile or "no", "parameters": parameters}
    if first is not None:
        line["first_loss"] = round(first, 4)
    if a.device == "cuda":
        line["device_mib"] = torch.cuda.max_memory_reserved() >> 20
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
