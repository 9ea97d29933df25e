"""Models of Keras 2, trained for a step, as its `.h5` holds them."""
import numpy as np
import tf_keras as keras

L = keras.layers


def cases():
    yield "mlp", keras.Sequential([L.Flatten(input_shape=(4, 3)), L.Dense(5, activation="relu"), L.Dense(4, activation="softmax")]), [(4, 3)]
    yield "cnn", keras.Sequential([L.InputLayer((8, 9, 2)), L.Conv2D(4, 3, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU(),
                                   L.LeakyReLU(0.1), L.MaxPooling2D(), L.GlobalAveragePooling2D(), L.Dropout(0.2), L.Dense(3)]), [(8, 9, 2)]
    a, b = keras.Input((6,)), keras.Input((5,), dtype="int64")
    x = L.Concatenate()([L.Dense(3)(a), L.Flatten()(L.Embedding(12, 2)(b))])
    yield "two", keras.Model([a, b], [L.Dense(1, name="one")(x), L.Dense(2, name="other")(L.Add()([x, x * 1.0]) if False else x)]), [(6,), (5,)]
    c = keras.Input((6, 3))
    y = L.Bidirectional(L.LSTM(4, return_sequences=True))(c)
    y = L.MultiHeadAttention(2, 3)(y, y)
    y = L.LayerNormalization()(L.GRU(3, return_sequences=True)(y))
    yield "rows", keras.Model(c, L.TimeDistributed(L.Dense(2))(y)), [(6, 3)]
    inner = keras.Sequential([L.Dense(4, input_shape=(6,)), L.Dense(3, activation="tanh")], name="inner")
    yield "nested", keras.Sequential([inner, L.Dense(2)]), [(6,)]
    d = keras.Input((5,))
    yield "masked", keras.Model(d, L.Dense(2)(L.LSTM(3)(L.Embedding(12, 4, mask_zero=True)(d)))), [(5,)]
