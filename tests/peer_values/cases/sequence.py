"""Recurrent layers and masks, and trainings with them, as Keras computes them."""
import numpy as np

from peer import layer_case, random, tensor, tensors, weights_of


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


WEIGHTS = ("kernel", "recurrent_kernel", "bias")


def model_case(name, text, model, x, names):
    """A Keras model of a row of layers on `x`; `names`: ours of all weights, in Keras's order."""
    model(x)
    weights = weights_of(model, random(3), list(names))
    return {"kind": "model", "name": name, "text": text, "inputs": [tensor(x)], "weights": tensors(weights),
            "outputs": [tensor(np.asarray(model(x)))]}


def training_case(name, layers, model, names, x, steps=20):
    """Adam steps on the mean squared error, on batches drawn of `x`'s shape."""
    import keras
    import tensorflow as tf

    rng = random(5)
    model(x)
    weights = weights_of(model, rng, list(names), 0.3)
    optimizer = keras.optimizers.Adam(0.02)
    batches, losses = [], []
    for _ in range(steps):
        features = rng.normal(size=x.shape).astype(np.float32)
        features[0, -1:] = 0  # padding, for a model with a mask
        labels = rng.normal(size=model(x).shape).astype(np.float32)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(features) - labels))
        optimizer.apply(tape.gradient(loss, model.trainable_weights), model.trainable_weights)
        batches.append({"features": [tensor(features)], "labels": tensor(labels)})
        losses.append(float(loss))
    text = f"model {{ {layers} }} loss {{ mean_squared_error {{}} }} optimizer {{ adam {{}} learning_rate: 0.02 }}"
    return {"kind": "training", "name": name, "text": text, "weights": tensors(weights), "batches": batches,
            "losses": losses, "tolerance": 1e-4}


def cases():
    import keras

    k = keras.layers
    r = random(11)
    x = r.normal(size=(3, 5, 4)).astype(np.float32)
    padded = x.copy()
    padded[0, 3:] = 0
    padded[1, 1] = 0
    padded[2, :2] = 0
    state, cell = (r.normal(size=(3, 5)).astype(np.float32) for _ in range(2))
    found = []

    def both(name, text, layer, **more):
        found.append(layer_case(name, f"{text} {{ units: 5 {more.pop('options', '')} }}", layer, [x], WEIGHTS, **more))

    both("lstm", "lstm", k.LSTM(5))
    both("lstm_sequences", "lstm", k.LSTM(5, return_sequences=True), options="return_sequences: true")
    both("lstm_backwards", "lstm", k.LSTM(5, return_sequences=True, go_backwards=True),
         options="return_sequences: true go_backwards: true")
    both("lstm_last_backwards", "lstm", k.LSTM(5, go_backwards=True), options="go_backwards: true")
    stateful = k.LSTM(5, return_state=True)
    found.append(layer_case("lstm_state", "lstm { units: 5 return_state: true }", stateful, [x], WEIGHTS,
                            call=lambda v: keras.ops.concatenate(stateful(v)[1:], -1)))
    both("gru", "gru", k.GRU(5))
    both("gru_sequences", "gru", k.GRU(5, return_sequences=True), options="return_sequences: true")
    both("gru_reset_before", "gru", k.GRU(5, reset_after=False), options="reset_after: false")
    both("gru_backwards", "gru", k.GRU(5, go_backwards=True, return_sequences=True),
         options="go_backwards: true return_sequences: true")
    both("simple_rnn", "simple_rnn", k.SimpleRNN(5))
    both("simple_rnn_relu", "simple_rnn", k.SimpleRNN(5, activation="relu", return_sequences=True),
         options="activation: RELU return_sequences: true")
    found.append(layer_case("gru_no_bias", "gru { units: 5 use_bias: false }", k.GRU(5, use_bias=False), [x], WEIGHTS[:2]))

    lstm, gru, rnn = k.LSTM(5, return_sequences=True), k.GRU(5), k.SimpleRNN(5)
    found.append(layer_case("lstm_initial_state", "lstm { units: 5 return_sequences: true }", lstm, [x, state, cell],
                            WEIGHTS, call=lambda v: lstm(v[0], initial_state=v[1:])))
    found.append(layer_case("gru_initial_state", "gru { units: 5 }", gru, [x, state], WEIGHTS,
                            call=lambda v: gru(v[0], initial_state=v[1])))
    found.append(layer_case("simple_rnn_initial_state", "simple_rnn { units: 5 }", rnn, [x, state], WEIGHTS,
                            call=lambda v: rnn(v[0], initial_state=v[1])))

    ways = tuple(f"{way}_{{}}/{n}" for way in ("forward", "backward") for n in WEIGHTS)
    for mode, ours in (("concat", "CONCAT"), ("sum", "SUM"), ("mul", "MUL"), ("ave", "AVE")):
        names = tuple(n.format("lstm") for n in ways)
        found.append(layer_case(f"bidirectional_{mode}",
                                f"bidirectional {{ layer {{ lstm {{ units: 2 return_sequences: true }} }} merge_mode: {ours} }}",
                                k.Bidirectional(k.LSTM(2, return_sequences=True), merge_mode=mode), [x], names))
    found.append(layer_case("bidirectional_last", "bidirectional { layer { gru { units: 2 } } }",
                            k.Bidirectional(k.GRU(2)), [x], tuple(n.format("gru") for n in ways)))
    found.append(layer_case("time_distributed", "time_distributed { layer { dense { units: 3 activation: TANH } } }",
                            k.TimeDistributed(k.Dense(3, "tanh")), [x], ("dense/kernel", "dense/bias")))
    images = r.normal(size=(2, 3, 4, 4, 1)).astype(np.float32)
    found.append(layer_case("time_distributed_images", "time_distributed { layer { conv2d { filters: 2 kernel: 2 } } }",
                            k.TimeDistributed(k.Conv2D(2, 2)), [images], ("conv2d/kernel", "conv2d/bias")))
    found.append(layer_case("masking", "masking {}", k.Masking(), [padded]))
    found.append(layer_case("dense_of_steps", "dense { units: 3 }", k.Dense(3), [x], ("kernel", "bias")))

    # Steps that a mask leaves out.
    for name, text, layer in (
            ("lstm", "lstm { units: 5 return_sequences: true }", k.LSTM(5, return_sequences=True)),
            ("lstm_last", "lstm { units: 5 }", k.LSTM(5)),
            ("gru", "gru { units: 5 return_sequences: true }", k.GRU(5, return_sequences=True)),
            ("gru_reset_before", "gru { units: 5 reset_after: false }", k.GRU(5, reset_after=False)),
            ("simple_rnn", "simple_rnn { units: 5 return_sequences: true }", k.SimpleRNN(5, return_sequences=True)),
            ("lstm_backwards", "lstm { units: 5 go_backwards: true }", k.LSTM(5, go_backwards=True))):
        ours = text.split()[0]
        found.append(model_case(f"masked_{name}", f"layers {{ masking {{}} }} layers {{ {text} }}",
                                keras.Sequential([k.Masking(), layer]), padded, [f"{ours}/{n}" for n in WEIGHTS]))
    found.append(model_case("masked_stack",
                            "layers { masking {} } layers { gru { units: 4 return_sequences: true } } layers { lstm { units: 3 } }",
                            keras.Sequential([k.Masking(), k.GRU(4, return_sequences=True), k.LSTM(3)]), padded,
                            [f"{n}/{w}" for n in ("gru", "lstm") for w in WEIGHTS]))
    found.append(model_case("masked_bidirectional",
                            "layers { masking {} } layers { bidirectional { layer { lstm { units: 3 return_sequences: true } } } }",
                            keras.Sequential([k.Masking(), k.Bidirectional(k.LSTM(3, return_sequences=True))]), padded,
                            [f"bidirectional/{n.format('lstm')}" for n in ways]))
    keys = np.array([[3, 1, 0, 0], [2, 0, 4, 1]], np.int64)
    found.append(model_case("embedding_mask_zero",
                            "layers { embedding { vocabulary: 5 dimension: 3 mask_zero: true } } layers { gru { units: 4 } }",
                            keras.Sequential([k.Embedding(5, 3, mask_zero=True), k.GRU(4)]), keys,
                            ["embedding/embeddings"] + [f"gru/{w}" for w in WEIGHTS]))

    x = r.normal(size=(2, 4, 3)).astype(np.float32)
    head = ("dense/kernel", "dense/bias")
    found.append(training_case("lstm_20_steps", "layers { lstm { units: 4 } } layers { dense { units: 2 } }",
                               keras.Sequential([k.LSTM(4), k.Dense(2)]), [f"lstm/{w}" for w in WEIGHTS] + list(head), x))
    found.append(training_case("gru_20_steps", "layers { gru { units: 4 } } layers { dense { units: 2 } }",
                               keras.Sequential([k.GRU(4), k.Dense(2)]), [f"gru/{w}" for w in WEIGHTS] + list(head), x))
    found.append(training_case(
        "masked_lstm_20_steps",
        "layers { masking {} } layers { lstm { units: 5 return_sequences: true } } layers { lstm { units: 4 } } layers { dense { units: 2 } }",
        keras.Sequential([k.Masking(), k.LSTM(5, return_sequences=True), k.LSTM(4), k.Dense(2)]),
        [f"{n}/{w}" for n in ("lstm", "lstm_1") for w in WEIGHTS] + list(head), x))
    found.append(training_case(
        "masked_gru_20_steps",
        "layers { masking {} } layers { gru { units: 5 reset_after: false return_sequences: true } } layers { gru { units: 4 go_backwards: true } } layers { dense { units: 2 } }",
        keras.Sequential([k.Masking(), k.GRU(5, reset_after=False, return_sequences=True), k.GRU(4, go_backwards=True),
                          k.Dense(2)]),
        [f"{n}/{w}" for n in ("gru", "gru_1") for w in WEIGHTS] + list(head), x))
    return found
