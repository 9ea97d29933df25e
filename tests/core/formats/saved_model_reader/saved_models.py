"""What saved_model_peer_test asks TensorFlow and Keras for: SavedModels with what they give.

Each model is a folder with the SavedModel "model" and "io.npz": inputs x0, x1, ... in the order of
their names, outputs y0, y1, ... in the order of theirs, and of a trained one "losses".
Exit status 77: there is no TensorFlow.
"""
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
try:
    import keras
    import numpy as np
    import tensorflow as tf
    import tf_keras
except ImportError:
    sys.exit(77)

rng = np.random.default_rng(7)


def keep(folder, inputs, outputs, **more):
    """`outputs`: a dict by name, an array or a list."""
    if isinstance(outputs, dict):
        outputs = [outputs[name] for name in sorted(outputs)]
    elif not isinstance(outputs, (list, tuple)):
        outputs = [outputs]
    arrays = {f"x{i}": np.asarray(x) for i, x in enumerate(inputs)}
    arrays |= {f"y{i}": np.asarray(y) for i, y in enumerate(outputs)}
    np.savez(os.path.join(folder, "io.npz"), **arrays, **more)


def floats(*shape):
    return rng.normal(size=shape).astype(np.float32)


# --- the eight models

def models(k):
    L = k.layers

    def mnist_mlp():
        model = k.Sequential([k.Input((28, 28, 1)), L.Flatten(), L.Dense(16, activation="relu"), L.Dense(10)])
        return model, [floats(3, 28, 28, 1)]

    def lenet():
        model = k.Sequential([
            k.Input((28, 28, 1)), L.Conv2D(6, 5, padding="same", activation="tanh"), L.AveragePooling2D(2),
            L.Conv2D(16, 5, activation="tanh"), L.MaxPooling2D(), L.Flatten(), L.Dense(32, activation="tanh"),
            L.Dense(10, activation="softmax")])
        return model, [floats(3, 28, 28, 1)]

    def cifar_cnn():
        model = k.Sequential([
            k.Input((32, 32, 3)), L.Conv2D(8, 3, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU(),
            L.MaxPooling2D(), L.SeparableConv2D(16, 3, padding="same"), L.BatchNormalization(), L.LeakyReLU(0.1),
            L.GlobalAveragePooling2D(), L.Dropout(0.5), L.Dense(10)])
        return model, [floats(3, 32, 32, 3)]

    def resnet20():
        def conv(x, filters, stride, size=3):
            x = L.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
            return L.BatchNormalization()(x)

        inputs = k.Input((32, 32, 3))
        x = L.ReLU()(conv(inputs, 8, 1))
        for stage, filters in enumerate((8, 16, 32)):
            for block in range(3):
                stride = 2 if stage and not block else 1
                y = conv(L.ReLU()(conv(x, filters, stride)), filters, 1)
                if stride > 1:
                    x = conv(x, filters, stride, 1)
                x = L.ReLU()(L.Add()([x, y]))
        return k.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(x))), [floats(2, 32, 32, 3)]

    def two_in_two_out():
        a, b = k.Input((5,), name="a"), k.Input((3,), name="b")
        hidden = L.Dense(8, activation="relu")(L.Concatenate()([a, b]))
        outputs = [L.Dense(2, name="first")(hidden), L.Dense(3, activation="softmax", name="second")(hidden)]
        return k.Model([a, b], outputs), [floats(4, 5), floats(4, 3)]

    def embedding_bag():
        ids = k.Input((12,), dtype="int32")
        x = L.GlobalAveragePooling1D()(L.Embedding(50, 8)(ids))
        return k.Model(ids, L.Dense(1, activation="sigmoid")(x)), [rng.integers(0, 50, (3, 12), dtype=np.int32)]

    def char_lstm():
        ids = k.Input((16,), dtype="int32")
        x = L.LSTM(12, return_sequences=True)(L.Embedding(30, 8)(ids))
        x = L.Bidirectional(L.GRU(6, return_sequences=True))(x)
        return k.Model(ids, L.Dense(30)(x)), [rng.integers(0, 30, (3, 16), dtype=np.int32)]

    def char_transformer():
        ids = k.Input((16,), dtype="int32")
        x = L.Embedding(30, 16)(ids)
        for _ in range(2):
            y = L.LayerNormalization(epsilon=1e-6)(x)
            x = L.Add()([x, L.MultiHeadAttention(2, 8)(y, y, use_causal_mask=True)])
            y = L.Dense(32, activation="gelu")(L.LayerNormalization()(x))
            x = L.Add()([x, L.Dense(16)(y)])
        return k.Model(ids, L.Dense(30)(x)), [rng.integers(0, 30, (3, 16), dtype=np.int32)]

    def masked_sequence():
        ids = k.Input((9,), dtype="int32")
        x = L.LSTM(6)(L.Embedding(20, 5, mask_zero=True)(ids))
        return k.Model(ids, L.Dense(4)(x)), [rng.integers(0, 20, (5, 9), dtype=np.int32)]

    def upsampled():
        model = k.Sequential([
            k.Input((6, 5, 3)), L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="elu"),
            L.UpSampling2D(2, interpolation="bilinear"), L.ZeroPadding2D(1), L.Cropping2D(2),
            L.DepthwiseConv2D(3, activation="selu"), L.Conv2D(2, 3, dilation_rate=2, activation="softplus")])
        return model, [floats(2, 6, 5, 3)]

    def one_dimensional():
        model = k.Sequential([
            k.Input((20, 3)), L.Conv1D(6, 3, padding="causal", activation="relu"), L.MaxPooling1D(2),
            L.TimeDistributed(L.Dense(4, activation="tanh")), L.GlobalMaxPooling1D(), L.Reshape((2, 2)),
            L.Permute((2, 1)), L.Flatten(), L.RepeatVector(3), L.SimpleRNN(5)])
        return model, [floats(4, 20, 3)]

    return [mnist_mlp, lenet, cifar_cnn, resnet20, two_in_two_out, embedding_bag, char_lstm, char_transformer,
            masked_sequence, upsampled, one_dimensional]


def randomize(model):
    """Trained weights are not zeros and ones."""
    for weight in model.weights:
        values = rng.normal(scale=0.3, size=weight.shape).astype(np.float32)
        if weight.dtype not in (np.float32, "float32", tf.float32):
            continue
        name = getattr(weight, "path", weight.name)
        if "gamma" in name or "moving_variance" in name:
            values = 0.5 + np.abs(values)
        weight.assign(values)


def named(k, model, outputs):
    """Keras 2 names outputs by layers, Keras 3 by their order."""
    if not isinstance(outputs, (list, tuple)):
        return outputs
    names = model.output_names if k is tf_keras else [f"output_{i}" for i in range(len(outputs))]
    return dict(zip(names, outputs))


def make_keras(folder):
    for k, version in ((keras, "keras3"), (tf_keras, "keras2")):
        for make in models(k):
            model, inputs = make()
            randomize(model)
            place = os.path.join(folder, f"{version}_{make.__name__}")
            os.makedirs(place)
            if k is keras:
                model.export(os.path.join(place, "model"), verbose=False)
            else:
                model.compile("adam", "mse")
                model.save(os.path.join(place, "model"), save_format="tf")
            outputs = model(inputs[0] if len(inputs) == 1 else inputs, training=False)
            keep(place, inputs, named(k, model, outputs))


def make_trained(folder):
    """Five steps of Keras's from what the SavedModel has, on one batch."""
    for name, classes in (("trained_dense", None), ("trained_norm", 3)):
        layers = [keras.Input((6,)), keras.layers.Dense(8, activation="tanh")]
        if classes:
            layers.append(keras.layers.BatchNormalization(trainable=False))
        model = keras.Sequential(layers + [keras.layers.Dense(classes or 1)])
        randomize(model)
        place = os.path.join(folder, name)
        os.makedirs(place)
        model.export(os.path.join(place, "model"), verbose=False)
        x, y = floats(8, 6), floats(8, classes or 1)
        predicted = model(x, training=False).numpy()
        model.compile(keras.optimizers.SGD(0.1), "mse")
        losses = [model.train_on_batch(x, y) for _ in range(5)]
        keep(place, [x], predicted, target=y, losses=np.asarray(losses, np.float64))


# --- plain functions

class Functions(tf.Module):
    """Every op that the reader has, on values that show its attributes."""

    def __init__(self):
        super().__init__()
        self.w = tf.Variable(floats(4, 4), name="w")
        self.table = tf.Variable(floats(7, 3), name="table")
        self.scale = tf.Variable(floats(4), name="scale", trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x"),
                                  tf.TensorSpec([None, 3], tf.int32, name="ids")])
    def math(self, x, ids):
        positive = tf.abs(x) + 0.5
        unit = tf.tanh(x) * 0.9
        small = {f.__name__: f(x) for f in (
            tf.abs, tf.negative, tf.square, tf.sign, tf.floor, tf.math.ceil, tf.round, tf.exp, tf.math.expm1, tf.tanh,
            tf.sin, tf.cos, tf.tan, tf.atan, tf.sinh, tf.cosh, tf.asinh, tf.sigmoid, tf.nn.softplus, tf.nn.softsign,
            tf.math.erf, tf.math.erfc, tf.nn.relu, tf.nn.relu6, tf.nn.selu, tf.nn.elu, tf.nn.leaky_relu,
            tf.nn.softmax, tf.nn.log_softmax, tf.nn.gelu, tf.nn.silu, tf.reduce_sum, tf.reduce_max)}
        small |= {f.__name__: f(positive) for f in (
            tf.math.log, tf.math.log1p, tf.sqrt, tf.math.rsqrt, tf.math.reciprocal)}
        small |= {f.__name__: f(unit) for f in (tf.asin, tf.acos, tf.atanh)}
        w = tf.constant([1.5, -2.0, 0.5, 3.0])
        small |= {f.__name__: f(x, w) for f in (
            tf.add, tf.subtract, tf.multiply, tf.divide, tf.maximum, tf.minimum, tf.atan2, tf.math.squared_difference,
            tf.math.floordiv, tf.math.floormod, tf.math.divide_no_nan)}
        small |= {"compare_" + f.__name__: tf.cast(f(x, w), tf.float32) for f in (
            tf.equal, tf.not_equal, tf.less, tf.less_equal, tf.greater, tf.greater_equal)}
        logic = tf.logical_or(tf.logical_and(x > 0, x < 1), tf.logical_not(x < 2))
        return small | {
            "acosh": tf.acosh(positive + 1), "pow": tf.pow(positive, w), "logic": tf.cast(logic, tf.int32),
            "nan": tf.cast(tf.math.is_nan(tf.math.log(x)), tf.int32), "clip": tf.clip_by_value(x, -0.5, 0.5),
            "finite": tf.cast(tf.math.is_finite(x / (x - x)), tf.int32),
            "int_divide": ids // 2, "int_mod": ids % 3, "truncated": tf.cast(x * 3, tf.int32),
            "mean": tf.reduce_mean(x, -1, keepdims=True), "min": tf.reduce_min(x, [0]), "prod": tf.reduce_prod(x, 1),
            "any": tf.cast(tf.reduce_any(x > 1, 1), tf.int32), "all": tf.cast(tf.reduce_all(x > -1, 1), tf.int32),
            "batch_mean": tf.reduce_sum(x) / tf.cast(tf.shape(x)[0], tf.float32),
            "argmax": tf.argmax(x, 1), "argmin": tf.argmin(x, 0, output_type=tf.int32),
            "cumsum": tf.cumsum(x, 1, exclusive=True, reverse=True), "addn": tf.add_n([x, x, w * x]),
            "top": tf.math.top_k(x, 2).values, "top_index": tf.math.top_k(x, 2).indices,
            "matmul": tf.matmul(x, self.w, transpose_b=True) * self.scale, "bias": tf.nn.bias_add(x, w),
            "batch_matmul": tf.matmul(tf.reshape(x, [-1, 2, 2]), tf.reshape(x, [-1, 2, 2]), transpose_a=True),
            "einsum": tf.einsum("bi,ij,bj->b", x, self.w, x), "where": tf.where(x > 0, x, w),
            "gradient": tf.stop_gradient(x) * x,
        }

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x"),
                                  tf.TensorSpec([None, 3], tf.int32, name="ids")])
    def arrays(self, x, ids):
        b = tf.shape(x)[0]
        cube = tf.reshape(x, [b, 2, 2, 1]) * tf.constant([1.0, 2.0, 3.0])
        rows = tf.unstack(x, axis=1)
        static = tf.constant(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
        return {
            "cube": cube, "flat": tf.reshape(cube, [b, -1]), "lines": tf.reshape(cube, [-1, 3]),
            "back": tf.reshape(tf.reshape(cube, [-1, 3]) * 2, [b, 4, 3]), "rank": x * tf.cast(tf.rank(x), tf.float32),
            "size": tf.cast(tf.size(cube), tf.float32) + x, "shape": tf.shape(cube),
            "expand": tf.expand_dims(x, 1), "squeeze": tf.squeeze(tf.expand_dims(x, -1), [-1]),
            "fill": tf.fill([b, 3], 2.5), "zeros": tf.zeros([2, b]), "ones": tf.ones_like(x), "tile": tf.tile(x, [1, 3]),
            "tile_batch": tf.tile(tf.constant([[1.0, 2.0]]), [b, 1]), "tile_rows": tf.tile(x, [2, 1]),
            "broadcast": tf.broadcast_to(tf.constant([1.0, 2.0, 3.0, 4.0]), [b, 4]),
            "range": tf.range(b), "range3": tf.range(1, 10, 3) + ids, "float_range": tf.range(0.0, 1.0, 0.25) + x,
            "pack": tf.stack([x, x * 2], 1), "unpack": rows[2] - rows[0], "concat": tf.concat([x, x[:, :2]], 1),
            "concat_batch": tf.concat([x, x + 1], 0), "split": tf.split(x, 2, 1)[1],
            "split_sizes": tf.split(x, [1, -1], 1)[1],
            "slice": tf.slice(x, [0, 1], [b, 2]), "slice_open": tf.slice(x, [0, 1], [-1, 2]),
            "strided": x[:, ::2], "backward": x[:, ::-1], "negative": x[..., -3:-1], "fresh": x[:, tf.newaxis, 1],
            "index": cube[:, 1, :, 2], "ellipsis": cube[..., 0], "static": static[1, :, ::2][tf.newaxis] + x[:, :1, None],
            "first": x[0] + x, "gather": tf.gather(self.table, ids), "gather_axis": tf.gather(x, [3, 0], axis=1),
            "gather_batch": tf.gather(x, ids, batch_dims=1), "gather_nd": tf.gather_nd(self.table, ids[:, :1]),
            "transpose": tf.transpose(cube, [0, 3, 1, 2]), "pad": tf.pad(x, [[0, 0], [1, 2]]),
            "pad_value": tf.pad(x, [[0, 0], [2, 0]], constant_values=-float("inf")),
            "mirror": tf.pad(x, [[0, 0], [2, 3]], "REFLECT"), "symmetric": tf.pad(x, [[0, 0], [2, 3]], "SYMMETRIC"),
            "one_hot": tf.one_hot(ids, 5, on_value=2.0, off_value=-1.0), "one_hot_axis": tf.one_hot(ids, 4, axis=1),
            "reverse": tf.reverse(cube, [1, 3]), "band": tf.linalg.band_part(tf.matmul(cube[:, 0], cube[:, 1], transpose_a=True), 1, 0),
            "causal": tf.linalg.band_part(tf.ones([4, 4]), -1, 0) * x[:, :, None], "cast": tf.cast(ids, tf.float32),
            "product": tf.cast(b * 2 + 1, tf.float32) * x,
        }

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 5, 4], tf.float32, name="image")])
    def images(self, image):
        three = tf.constant(np.linspace(-1, 1, 9 * 4 * 2, dtype=np.float32).reshape(3, 3, 4, 2))
        two = tf.constant(np.linspace(-1, 1, 9 * 2 * 6, dtype=np.float32).reshape(3, 3, 2, 6))
        means = [tf.constant(np.linspace(*ends, 4, dtype=np.float32)) for ends in ((0.5, 1), (-1, 1), (0, 1), (1, 2))]
        normal, _, _ = tf.compat.v1.nn.fused_batch_norm(image, *means, epsilon=0.01, is_training=False)
        trained, _, _ = tf.compat.v1.nn.fused_batch_norm(image, *means[:2], epsilon=0.01, is_training=True)
        return {
            "conv": tf.nn.conv2d(image, three, [2, 1], "SAME"), "dilated": tf.nn.conv2d(image, three, 1, "VALID", dilations=2),
            "explicit": tf.nn.conv2d(image, three, 1, [[0, 0], [1, 2], [0, 1], [0, 0]]),
            "groups": tf.nn.conv2d(image, two, 1, "SAME"), "depthwise": tf.nn.depthwise_conv2d(image, three, [1, 1, 1, 1], "SAME"),
            "transposed": tf.nn.conv2d_transpose(image, tf.transpose(three, [0, 1, 3, 2]), [tf.shape(image)[0], 12, 10, 2], 2),
            "max": tf.nn.max_pool2d(image, [2, 3], [2, 1], "SAME"), "avg": tf.nn.avg_pool2d(image, 3, 2, "SAME"),
            "normal": normal, "trained": trained, "bilinear": tf.image.resize(image, [9, 7]),
            "nearest": tf.image.resize(image, [4, 11], method="nearest"),
        }

    @tf.function(input_signature=[tf.TensorSpec([None, 5, 4], tf.float32, name="x")])
    def control(self, x):
        total = tf.zeros_like(x[:, 0])
        for i in tf.range(tf.shape(x)[1]):
            if i % 2 == 0:
                total += x[:, i] * self.scale
            else:
                total -= tf.matmul(x[:, i], self.w)
        states = tf.TensorArray(tf.float32, 0, dynamic_size=True)
        for i in tf.range(3):
            states = states.write(i, total * tf.cast(i, tf.float32))
        chosen = tf.switch_case(tf.constant(1), [lambda: total, lambda: total * 2, lambda: total * 3])
        return {"total": total, "states": tf.transpose(states.stack(), [1, 0, 2]), "chosen": chosen,
                "scan": tf.transpose(tf.scan(lambda a, e: a * 0.5 + e, tf.transpose(x, [1, 0, 2])), [1, 0, 2])}


def make_functions(folder):
    module = Functions()
    inputs = {"math": [floats(5, 4), rng.integers(0, 7, (5, 3), dtype=np.int32)],
              "arrays": [floats(5, 4), rng.integers(0, 4, (5, 3), dtype=np.int32)],
              "images": [floats(2, 6, 5, 4)], "control": [floats(3, 5, 4)]}
    for name, values in inputs.items():
        place = os.path.join(folder, f"module_{name}")
        function = getattr(module, name)
        tf.saved_model.save(module, os.path.join(place, "model"), signatures=function)
        names = ["x", "ids"] if len(values) == 2 else ["x"]
        outputs = function(*values)
        # Arguments of a signature are in the order of names.
        order = np.argsort(names)
        keep(place, [values[i] for i in order], {k: v for k, v in outputs.items()})


class Loop(tf.Module):
    """A recurrence with weights, of which one is not trained; two outputs."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(floats(4, 4), name="kernel")
        self.scale = tf.Variable(floats(4), name="scale", trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None, 3, 4], tf.float32, name="x")])
    def run(self, x):
        state = tf.zeros([tf.shape(x)[0], 4])
        for i in tf.range(tf.shape(x)[1]):
            state = tf.tanh(tf.matmul(state, self.kernel) + x[:, i] * self.scale)
        return {"state": state, "total": tf.matmul(x[:, 0] + state, self.kernel)}


def strip(place):
    """Leaves out what only explains, so that the file is small."""
    from tensorflow.core.protobuf import saved_model_pb2
    path = os.path.join(place, "model", "saved_model.pb")
    model = saved_model_pb2.SavedModel()
    with open(path, "rb") as file:
        model.ParseFromString(file.read())
    graph = model.meta_graphs[0]
    graph.meta_info_def.ClearField("stripped_op_list")
    graph.graph_def.ClearField("versions")
    for function in graph.graph_def.library.function:
        function.ClearField("arg_attr")
        for node in function.node_def:
            node.ClearField("experimental_debug_info")
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


def make_fixtures(folder):
    """The folders in fixtures/: `saved_models.py fixtures make_fixtures`."""
    import shutil
    module = Loop()
    place = os.path.join(folder, "loop")
    tf.saved_model.save(module, os.path.join(place, "model"), signatures=module.run)
    x = floats(2, 3, 4)
    keep(place, [x], {k: v for k, v in module.run(x).items()})
    make_old(folder)
    shutil.rmtree(os.path.join(folder, "old_reference"))
    os.rename(os.path.join(folder, "old_resource"), os.path.join(folder, "old"))
    for place in ("loop", "old"):
        strip(os.path.join(folder, place))
        for name in ("assets", "fingerprint.pb"):
            path = os.path.join(folder, place, "model", name)
            if os.path.isdir(path):
                os.rmdir(path)
            elif os.path.exists(path):
                os.remove(path)


def make_old(folder):
    """Graphs of TensorFlow 1, whose variables have only names."""
    v1 = tf.compat.v1
    for use_resource in (False, True):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 3], "x")
            is_training = v1.placeholder_with_default(False, [], "is_training")
            with v1.variable_scope("net", use_resource=use_resource):
                w = v1.get_variable("w", initializer=floats(3, 4))
                b = v1.get_variable("b", initializer=floats(4), trainable=False)
            y = tf.matmul(x, w) + b
            y = v1.cond(is_training, lambda: y * 0.5, lambda: y * 2.0)
            y = tf.nn.relu(y, "y")
            session.run(v1.global_variables_initializer())
            place = os.path.join(folder, "old_resource" if use_resource else "old_reference")
            v1.saved_model.simple_save(session, os.path.join(place, "model"), {"x": x}, {"y": y})
            value = floats(4, 3)
            keep(place, [value], session.run(y, {x: value}))


if __name__ == "__main__":
    if sys.argv[2:] == ["make_fixtures"]:
        make_fixtures(sys.argv[1])
    else:
        for make in (make_keras, make_trained, make_functions, make_old):
            make(sys.argv[1])
