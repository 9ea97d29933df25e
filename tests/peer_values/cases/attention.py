"""Attention by Keras, and encodings of positions by their formulas in NumPy."""
import numpy as np

from peer import layer_case, random, tensor


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


PARTS = ("query", "key", "value", "attention_output")
HEADS = [f"{part}/{what}" for part in PARTS for what in ("kernel", "bias")]


def flattened(names):
    """Keras has axes for heads; ours are [features, heads * dim], and biases vectors."""
    def flat(name):
        if name.endswith("bias"):
            return lambda v: v.reshape(-1)
        if name.startswith("attention_output"):
            return lambda v: v.reshape(-1, v.shape[-1])
        return lambda v: v.reshape(v.shape[0], -1)
    return {n: flat(n) for n in names}


def encoding_case(name, text, x, y):
    return {"kind": "layer", "name": name, "text": text, "training": False, "inputs": [tensor(x)],
            "outputs": [tensor(y.astype(np.float32))], "weights": {}}


def sines(time, width, longest):
    rates = (1 / longest) ** (np.arange(width) // 2 * 2 / width)
    angles = np.arange(time)[:, None] * rates
    return np.where(np.arange(width) % 2 == 0, np.sin(angles), np.cos(angles))


def rotated(x, longest, factor):
    """Pairs (i, i + width/2) as complex numbers, turned."""
    half = x.shape[-1] // 2
    rates = (1 / longest) ** (np.arange(half) / half)
    angles = np.arange(x.shape[1])[:, None] / factor * rates
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([z.real, z.imag], -1)


def cases():
    import keras

    L = keras.layers
    r = random(11)
    x = r.normal(size=(2, 5, 6)).astype(np.float32)
    y = r.normal(size=(2, 4, 7)).astype(np.float32)
    z = r.normal(size=(2, 4, 3)).astype(np.float32)
    seen = r.random((2, 5, 4)) < 0.6
    seen[:, :, 1] = True
    narrow = [n for n in HEADS if n.endswith("kernel")]

    def heads(name, text, layer, inputs, names=HEADS, **more):
        return layer_case(name, text, layer, inputs, names, reshape=flattened(names), tolerance=3e-5, **more)

    found = []

    def self_attention(name, text, layer, names=HEADS, **options):
        found.append(heads(name, text, layer, [x], names, call=lambda q: layer(q, q, **options)))

    self_attention("multi_head_self", "multi_head_attention { num_heads: 2 key_dim: 3 }", L.MultiHeadAttention(2, 3))
    self_attention("multi_head_causal", "multi_head_attention { num_heads: 3 key_dim: 2 use_causal_mask: true }",
                   L.MultiHeadAttention(3, 2), use_causal_mask=True)
    self_attention("multi_head_other_values", "multi_head_attention { num_heads: 2 key_dim: 3 value_dim: 4 use_bias: false output_width: 5 }",
                   L.MultiHeadAttention(2, 3, value_dim=4, use_bias=False, output_shape=5), narrow)
    self_attention("group_query_causal",
                   "group_query_attention { head_dim: 3 num_query_heads: 4 num_key_value_heads: 2 use_causal_mask: true }",
                   L.GroupQueryAttention(3, 4, 2), use_causal_mask=True)
    cross = L.MultiHeadAttention(2, 3)
    found.append(heads("multi_head_cross", "multi_head_attention { num_heads: 2 key_dim: 3 }", cross, [x, y],
                       call=lambda v: cross(v[0], v[1])))
    keyed = L.MultiHeadAttention(2, 3, value_dim=2)
    found.append(heads("multi_head_key", "multi_head_attention { num_heads: 2 key_dim: 3 value_dim: 2 }", keyed, [x, y, z],
                       call=lambda v: keyed(v[0], v[1], v[2])))
    masked = L.MultiHeadAttention(2, 3)
    found.append(heads("multi_head_mask", "multi_head_attention { num_heads: 2 key_dim: 3 }", masked, [x, y, z, seen],
                       call=lambda v: masked(v[0], v[1], v[2], attention_mask=v[3])))
    grouped = L.GroupQueryAttention(3, 4, 1)
    found.append(heads("group_query_cross", "group_query_attention { head_dim: 3 num_query_heads: 4 num_key_value_heads: 1 }",
                       grouped, [x, y], call=lambda v: grouped(v[0], v[1])))
    value = r.normal(size=(2, 4, 6)).astype(np.float32)
    found += [
        layer_case("attention", "attention {}", L.Attention(), [x, value]),
        layer_case("attention_key", "attention { use_scale: true }", L.Attention(use_scale=True), [x, z, value], ("scale",)),
        layer_case("attention_concat", "attention { score_mode: CONCAT use_scale: true }",
                   L.Attention(use_scale=True, score_mode="concat"), [x, value], ("scale", "concat_score_weight")),
        layer_case("additive_attention", "additive_attention {}", L.AdditiveAttention(), [x, value], ("scale",)),
        layer_case("additive_attention_plain", "additive_attention { use_scale: false }",
                   L.AdditiveAttention(use_scale=False), [x, z, value]),
    ]
    causal = L.Attention()
    found.append(layer_case("attention_causal", "attention { use_causal_mask: true }", causal, [x, value],
                            call=lambda v: causal(v, use_causal_mask=True)))
    wide = r.normal(size=(2, 5, 3, 4)).astype(np.float32)
    even = np.broadcast_to(sines(5, 6, 10000.0), x.shape)
    found += [
        encoding_case("sine_position_encoding", "sine_position_encoding {}", x, even),
        encoding_case("sine_position_encoding_short", "sine_position_encoding { max_wavelength: 50 }", z,
                      np.broadcast_to(sines(4, 3, 50.0), z.shape)),
        encoding_case("rotary_embedding", "rotary_embedding {}", x, rotated(x, 10000.0, 1.0)),
        encoding_case("rotary_embedding_heads", "rotary_embedding { max_wavelength: 100 scaling_factor: 2 }", wide,
                      np.moveaxis(rotated(np.moveaxis(wide, 1, 2).reshape(6, 5, 4), 100.0, 2.0).reshape(2, 3, 5, 4), 2, 1)),
    ]
    return found
