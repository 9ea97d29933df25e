"""Models of Keras that train: name, model, features and labels of twenty batches, or of five for each optimizer."""
import keras
import numpy as np

L = keras.layers
O = keras.optimizers
BATCH, STEPS = 16, 20


def optimizers():
    decay = O.schedules.ExponentialDecay(0.05, 10, 0.5)
    return {
        "sgd": O.SGD(0.05), "sgd_nesterov": O.SGD(decay, momentum=0.9, nesterov=True), "adam_amsgrad": O.Adam(0.01, amsgrad=True),
        "adamw": O.AdamW(0.01, weight_decay=0.1), "adam_ema": O.Adam(0.01, use_ema=True, ema_momentum=0.8, clipnorm=0.5),
        "adamax": O.Adamax(0.01), "nadam": O.Nadam(0.01), "adagrad": O.Adagrad(0.05), "adadelta": O.Adadelta(1.0),
        "rmsprop": O.RMSprop(0.005, momentum=0.5, centered=True), "rmsprop_plain": O.RMSprop(0.005), "ftrl": O.Ftrl(0.05, l1_regularization_strength=0.001),
        "lion": O.Lion(0.002), "lamb": O.Lamb(0.01),
    }


def cases():
    random = np.random.default_rng(2)
    x = random.normal(0, 1, (BATCH * STEPS, 12)).astype("float32")
    classes = (np.abs(x[:, :4]).argmax(axis=1)).astype("int64")

    model = keras.Sequential([keras.Input((12,)), L.Dense(16, activation="relu"), L.Dense(8, activation="tanh"), L.Dense(4)])
    model.compile(O.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], run_eagerly=True)
    yield "mlp_adam", model, x, classes

    images = x.reshape(-1, 3, 4, 1).repeat(2, axis=1)
    model = keras.Sequential([keras.Input((6, 4, 1)), L.Conv2D(6, 3, padding="same", use_bias=False), L.BatchNormalization(momentum=0.9),
                              L.Activation("relu"), L.MaxPooling2D(2), L.Flatten(), L.Dense(4, activation="softmax")])
    model.compile(O.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    yield "cnn_momentum", model, images, classes

    rows = x.reshape(-1, 4, 3)
    model = keras.Sequential([keras.Input((4, 3)), L.LSTM(8, return_sequences=True), L.LSTM(6), L.Dense(1)])
    model.compile(O.RMSprop(0.005, momentum=0.5), "mse", run_eagerly=True)
    yield "lstm_rmsprop", model, rows, x[:, :1]

    for name, optimizer in optimizers().items():
        inputs = keras.Input((12,))
        hidden = L.Dense(6, activation="tanh", kernel_regularizer="l2")(inputs)
        model = keras.Model(inputs, L.Dense(1, activation="sigmoid")(hidden))
        model.compile(optimizer, "binary_crossentropy", run_eagerly=True)
        few = x[:BATCH * 5]
        yield name, model, few, (few[:, :1] > 0).astype("float32")
