"""What the scripts of cases/ share: tensors and cases as peer_values_test reads them.

A tensor is {"shape": [...], "dtype": "f32", "values": [...]}; floats keep 9 digits, which is all
that an f32 has. What each kind of case means is said in README.md.
"""
import numpy as np

_DTYPES = {"float32": "f32", "float64": "f32", "int32": "i32", "int64": "i64", "uint8": "u8", "bool": "bool"}


def number(x):
    """A float with 9 digits; infinities and NaN as strings, which JSON has no numbers for."""
    x = float(x)
    return float(f"{x:.9g}") if np.isfinite(x) else repr(x)


def tensor(array):
    """Any array (NumPy, torch, TensorFlow) as JSON; f64 becomes f32."""
    if hasattr(array, "detach"):
        array = array.detach().numpy()
    array = np.asarray(array)
    kind = _DTYPES[array.dtype.name]
    flat = array.astype(np.float32).ravel() if kind == "f32" else array.ravel()
    return {"shape": list(array.shape), "dtype": kind,
            "values": [number(v) if kind == "f32" else int(v) for v in flat]}


def tensors(arrays):
    """A dict of arrays, or a list of them, where None stays null."""
    if isinstance(arrays, dict):
        return {name: tensor(a) for name, a in arrays.items()}
    return [None if a is None else tensor(a) for a in arrays]


def random(seed):
    return np.random.default_rng(seed)


def weights_of(layer, rng, names, scale=0.5):
    """Random values for a built Keras layer's weights, set in the layer; {our name: array}.

    `names`: ours, in the order of layer.weights; None for a weight that we have no variable for.
    """
    values = [rng.normal(0, scale, w.shape).astype(np.float32) if "seed" not in w.path else w.numpy()
              for w in layer.weights]
    values = [np.abs(v) + 0.5 if "variance" in w.path else v for v, w in zip(values, layer.weights)]
    layer.set_weights(values)
    assert len(names) == len(values), (names, [w.path for w in layer.weights])
    return {n: v for n, v in zip(names, values) if n is not None}


def layer_case(name, text, layer, inputs, names=(), seed=1, training=False, gradients=True, reshape=None,
               scale=0.5, call=None, **more):
    """A Keras layer on `inputs` (arrays): outputs and the gradients of sum(output * cos(i)).

    `text`: the layer in a job file. `names`: as in weights_of(). `reshape`: {our name: function} for
    weights that we keep in another shape. `call`: how the layer is called, by default
    layer(x) or layer([x, y]), with training=... where the layer takes it.
    """
    import tensorflow as tf

    rng = random(seed)
    arrays = [np.asarray(x) for x in inputs]
    given = [tf.Variable(x) if x.dtype.kind == "f" else tf.constant(x) for x in arrays]

    def run():
        xs = [tf.convert_to_tensor(x) for x in given]
        x = xs[0] if len(xs) == 1 else xs
        if call is not None:
            return call(x)
        return layer(x, training=True) if training else layer(x)

    run()  # builds the layer
    values = weights_of(layer, rng, list(names), scale)
    with tf.GradientTape() as tape:
        output = run()
        cosines = tf.reshape(tf.cos(tf.range(tf.size(output), dtype=tf.float32)), tf.shape(output))
        total = tf.reduce_sum(tf.cast(output, tf.float32) * cosines)
    case = {"kind": "layer", "name": name, "text": text, "training": training,
            "inputs": tensors(arrays), "outputs": [tensor(output)]}
    keep = reshape or {}
    shaped = {n: keep[n](v) if n in keep else v for n, v in values.items()}
    case["weights"] = tensors(shaped)
    if gradients:
        variables = [w for w in layer.trainable_weights]
        wanted = [x for x in given if isinstance(x, tf.Variable)] + [w.value for w in variables]
        found = tape.gradient(total, wanted)
        found = [None if g is None else tf.convert_to_tensor(g).numpy() for g in found]
        it = iter(found)
        case["input_gradients"] = tensors([next(it) if isinstance(x, tf.Variable) else None for x in given])
        by_id = {id(w): n for w, n in zip(layer.weights, names)}
        trainable = [(by_id[id(w)], g) for w, g in zip(variables, it)]
        case["weight_gradients"] = tensors({n: keep[n](g) if n in keep else g
                                            for n, g in trainable if n is not None and g is not None})
    case.update(more)
    return case


def loss_case(name, text, function, predictions, labels, **more):
    """`function(labels, predictions)` gives the loss of each example, as a TensorFlow tensor."""
    import tensorflow as tf

    p = tf.Variable(np.asarray(predictions, np.float32))
    with tf.GradientTape() as tape:
        each = function(tf.convert_to_tensor(labels), tf.convert_to_tensor(p))
        each = tf.reshape(each, [each.shape[0], -1])
        each = tf.reduce_mean(each, axis=1)
        mean = tf.reduce_mean(each)
    gradient = tape.gradient(mean, p)
    case = {"kind": "loss", "name": name, "text": text, "predictions": tensor(predictions), "labels": tensor(labels),
            "per_example": tensor(each)}
    if gradient is not None:
        case["prediction_gradients"] = tensor(tf.convert_to_tensor(gradient))
    case.update(more)
    return case
