"""Models that follow the peer for 20 training steps, with what is beside the optimizer."""
import numpy as np

from peer import random, tensor, tensors

STEPS = 20


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


def training_case(name, layers_text, rest, layers, optimizer, names, seed=11, **more):
    """Trains `layers` (Keras's) on random examples of three classes; the loss of each step includes penalties."""
    import keras
    import tensorflow as tf

    r = random(seed)
    model = keras.Sequential(layers)
    model.build((None, 5))
    values = [r.normal(0, 0.5, w.shape).astype(np.float32) for w in model.weights]
    values = [np.abs(v) + 0.5 if "variance" in w.path else v for v, w in zip(values, model.weights)]
    model.set_weights(values)
    centers = r.normal(size=(3, 5))
    batches, losses = [], []
    for _ in range(STEPS):
        y = r.integers(0, 3, 8)
        x = (centers[y] + 0.5 * r.normal(size=(8, 5))).astype(np.float32)
        y = y.astype(np.int64)
        with tf.GradientTape() as tape:
            each = keras.losses.sparse_categorical_crossentropy(y, model(x, training=True), from_logits=True)
            loss = tf.add_n([tf.reduce_mean(each), *model.losses])
        optimizer.apply(tape.gradient(loss, [w.value for w in model.trainable_variables]), model.trainable_variables)
        batches.append({"features": [tensor(x)], "labels": tensor(y)})
        losses.append(float(f"{float(loss):.9g}"))
    text = f"model {{ {layers_text} }} loss {{ sparse_categorical_cross_entropy {{}} }} optimizer {{ {rest} }}"
    return {"kind": "training", "name": name, "text": text, "weights": tensors(dict(zip(names, values))),
            "batches": batches, "losses": losses, **more}


def cases():
    import keras

    k, o = keras.layers, keras.optimizers
    names = ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias")
    normal = ("batch_norm/gamma", "batch_norm/beta", "batch_norm/moving_mean", "batch_norm/moving_variance")
    two = "layers { dense { units: 6 activation: TANH } } layers { dense { units: 3 } }"

    def dense():
        return [k.Dense(6, "tanh"), k.Dense(3)]

    regularizers, constraints = keras.regularizers, keras.constraints
    frozen = k.Dense(6, "tanh", trainable=False)
    frozen_norm = k.BatchNormalization()
    frozen_norm.trainable = False
    return [
        training_case("adam", two, "adam {} learning_rate: 0.05", dense(), o.Adam(0.05), names),
        training_case("adamw", two, "adamw { weight_decay: 0.1 } learning_rate: 0.05", dense(),
                      o.AdamW(0.05, weight_decay=0.1), names),
        training_case("batch_norm", "layers { batch_norm { momentum: 0.9 } } " + two, "adam {} learning_rate: 0.05",
                      [k.BatchNormalization(momentum=0.9), *dense()], o.Adam(0.05), normal + names),
        training_case(
            "regularizers",
            "layers { dense { units: 6 activation: TANH kernel_regularizer { l2 { strength: 0.02 } } "
            "bias_regularizer { l1 { strength: 0.03 } } activity_regularizer { l1_l2 { l1: 0.01 l2: 0.02 } } } } "
            "layers { dense { units: 3 kernel_regularizer { orthogonal { factor: 0.4 mode: COLUMNS } } } }",
            "sgd { momentum: 0.9 } learning_rate: 0.05",
            [k.Dense(6, "tanh", kernel_regularizer=regularizers.L2(0.02), bias_regularizer=regularizers.L1(0.03),
                     activity_regularizer=regularizers.L1L2(0.01, 0.02)),
             k.Dense(3, kernel_regularizer=regularizers.OrthogonalRegularizer(0.4, "columns"))],
            o.SGD(0.05, momentum=0.9), names),
        training_case(
            "constraints",
            "layers { dense { units: 6 activation: TANH kernel_constraint { max_norm { max_value: 0.8 } } "
            "bias_constraint { non_neg {} } } } "
            "layers { dense { units: 3 kernel_constraint { min_max_norm { min_value: 0.5 max_value: 0.9 rate: 0.6 } } "
            "bias_constraint { unit_norm {} } } }",
            "adam {} learning_rate: 0.05",
            [k.Dense(6, "tanh", kernel_constraint=constraints.MaxNorm(0.8), bias_constraint=constraints.NonNeg()),
             k.Dense(3, kernel_constraint=constraints.MinMaxNorm(0.5, 0.9, 0.6), bias_constraint=constraints.UnitNorm())],
            o.Adam(0.05), names),
        training_case("frozen", "layers { dense { units: 6 activation: TANH } trainable: false } "
                      "layers { batch_norm {} trainable: false } layers { dense { units: 3 } }",
                      "adam {} learning_rate: 0.05", [frozen, frozen_norm, k.Dense(3)], o.Adam(0.05),
                      names[:2] + normal + names[2:]),
    ]
