"""The networks of tests/core/formats/models as users of Keras write them, with our names of layers."""
import keras
from keras import layers, ops


def mnist_mlp():
    x = image = layers.Input((28, 28, 1), name="feature_0")
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(32, "relu", name="dense")(x)
    x = layers.Dense(16, "relu", name="dense_1")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x), name="mnist_mlp")


def lenet():
    return keras.Sequential([
        layers.Input((28, 28, 1), name="feature_0"),
        layers.ZeroPadding2D(2, name="zero_pad2d"),
        layers.Conv2D(6, 5, activation="tanh", name="conv2d"),
        layers.AveragePooling2D(2, name="avg_pool2d"),
        layers.Conv2D(16, 5, activation="relu", name="conv2d_1"),
        layers.MaxPooling2D(name="max_pool2d"),
        layers.Flatten(name="flatten"),
        layers.Dense(120, "relu", name="dense"),
        layers.Dense(84, "relu", name="dense_1"),
        layers.Dense(10, name="logits"),
    ], name="lenet")


def cifar_cnn():
    return keras.Sequential([
        layers.Input((32, 32, 3), name="feature_0"),
        layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv2d"),
        layers.BatchNormalization(name="batch_norm"),
        layers.ReLU(name="activation"),
        layers.MaxPooling2D(name="max_pool2d"),
        layers.Dropout(0.2, name="dropout"),
        layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv2d_1"),
        layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="batch_norm_1"),
        layers.ReLU(name="activation_1"),
        layers.MaxPooling2D(name="max_pool2d_1"),
        layers.Dropout(0.2, name="dropout_1"),
        layers.Flatten(name="flatten"),
        layers.Dense(32, "relu", name="dense"),
        layers.Dropout(0.5, name="dropout_2"),
        layers.Dense(10, "softmax", name="class"),
    ], name="cifar_cnn")


def resnet20():
    def convolution(x, filters, kernel, stride, name):
        return layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)

    def norm(x, name):
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)

    x = image = layers.Input((32, 32, 3), name="feature_0")
    x = layers.RandomFlip("horizontal", name="flipped")(x)
    x = layers.RandomTranslation(0.125, 0.125, fill_mode="constant", interpolation="nearest", name="shifted")(x)
    x = layers.Activation("relu", name="stem")(norm(convolution(x, 16, 3, 1, "stem_conv"), "stem_norm"))
    for stage, filters in enumerate((16, 32, 64), 1):
        for block in (1, 2, 3):
            at = f"s{stage}b{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            y = norm(convolution(x, filters, 3, stride, f"{at}_conv1"), f"{at}_norm1")
            y = layers.Activation("relu", name=f"{at}_relu1")(y)
            y = norm(convolution(y, filters, 3, 1, f"{at}_conv2"), f"{at}_norm2")
            if stride == 2:
                x = norm(convolution(x, filters, 1, 2, f"{at}_short"), f"{at}_short_norm")
            x = layers.Activation("relu", name=at)(layers.Add(name=f"{at}_sum")([y, x]))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x), name="resnet20")


def two_in_two_out():
    numbers = layers.Input((13,), name="feature_0")
    keys = layers.Input((26,), dtype="int64", name="feature_1")
    hidden = layers.Dense(16, "tanh", name="hidden")(numbers)
    vectors = layers.Flatten(name="vectors")(layers.Embedding(2600, 4, name="table")(keys))
    both = layers.Concatenate(name="both")([hidden, vectors])
    deep = layers.Dense(8, "relu", name="deep")(both)
    click = layers.Dense(1, "sigmoid", name="click")(deep)
    gate = layers.Dense(8, "sigmoid", name="gate")(both)
    value = layers.Dense(1, name="value")(layers.Multiply(name="product")([gate, deep]))
    return keras.Model([numbers, keys], [click, value], name="two_in_two_out")


def embedding_bag():
    words = layers.Input((20,), dtype="int64", name="feature_0")
    rows = layers.Embedding(500, 8, name="words")(words)
    there = ops.cast(ops.not_equal(words, 0), "float32")
    bag = ops.sum(rows * ops.expand_dims(there, -1), axis=1)
    x = layers.Dense(8, "relu", name="dense")(bag)
    return keras.Model(words, layers.Dense(1, name="kind")(x), name="embedding_bag")


def char_lstm():
    return keras.Sequential([
        layers.Input((16,), dtype="int64", name="feature_0"),
        layers.Embedding(48, 12, name="embedding"),
        layers.LSTM(16, return_sequences=True, name="lstm"),
        layers.LSTM(16, return_sequences=True, name="lstm_1"),
        layers.Dense(48, name="logits"),
    ], name="char_lstm")


def char_transformer():
    characters = layers.Input((16,), dtype="int64", name="feature_0")
    places = ops.cumsum(ops.ones_like(characters), axis=1) - 1
    x = layers.Embedding(48, 16, name="token_embedding")(characters)
    x = x + layers.Embedding(16, 16, name="position_embedding")(places)
    for name, heads, activation in (("transformer_block", 4, lambda x: ops.gelu(x, approximate=True)),
                                    ("transformer_block_1", 2, ops.relu)):
        y = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_attention_norm")(x)
        y = layers.MultiHeadAttention(heads, 16 // heads, name=f"{name}_attention")(y, y, use_causal_mask=True)
        x = x + y
        y = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_feedforward_norm")(x)
        y = activation(layers.Dense(32, name=f"{name}_intermediate")(y))
        x = x + layers.Dense(16, name=f"{name}_output")(y)
    x = layers.LayerNormalization(epsilon=1e-5, name="layer_norm")(x)
    return keras.Model(characters, layers.Dense(48, name="next")(x), name="char_transformer")


def for_inference(model):
    """Without the augmentation at its head: Keras 3.15 exports RandomTranslation as in training, so that what is
    exported draws random numbers."""
    head = [layer for layer in model.layers if layer.__class__.__name__.startswith("Random")]
    return keras.Model(head[-1].output, model.output, name=model.name) if head else model


BUILDERS = {builder.__name__: builder for builder in (mnist_mlp, lenet, cifar_cnn, resnet20, two_in_two_out,
                                                      embedding_bag, char_lstm, char_transformer)}


def names(model_name, model):
    """Our name of each variable, the variable, and our shape of it."""
    for layer in model.layers:
        for variable in layer.variables:
            if "seed" in variable.path:
                continue
            shape = tuple(variable.shape)
            own = variable.path.rsplit(layer.name + "/", 1)[1]
            prefix = layer.name
            if model_name == "char_transformer":
                if prefix in ("token_embedding", "position_embedding"):
                    prefix = "token_and_position_embedding/" + prefix
                for block in ("transformer_block_1_", "transformer_block_"):
                    if prefix.startswith(block):
                        prefix = block[:-1] + "/" + prefix[len(block):]
                        break
                if prefix.endswith("/attention"):
                    if len(shape) == 3:
                        shape = (shape[0] * shape[1], shape[2]) if own.startswith("attention_output") else (
                            shape[0], shape[1] * shape[2])
                    elif not own.startswith("attention_output"):
                        shape = (shape[0] * shape[1],)
            own = own.replace("lstm_cell/", "")
            yield f"{prefix}/{own}", variable, shape
