"""Every loss of Keras that is of single examples."""
import numpy as np

from peer import loss_case, random


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def sigmoid(x):
    return (1 / (1 + np.exp(-x))).astype(np.float32)


def cases():
    import keras

    L = keras.losses
    r = random(11)
    logits = r.normal(size=(5, 4)).astype(np.float32)
    classes = np.array([0, 3, 1, 2, 2], np.int64)
    one_hot = np.eye(4, dtype=np.float32)[classes]
    spread = softmax(r.normal(size=(5, 4)))
    steps = r.normal(size=(3, 4, 5)).astype(np.float32)
    step_classes = r.integers(0, 5, (3, 4)).astype(np.int64)
    step_spread = softmax(r.normal(size=(3, 4, 5)))
    x = r.normal(size=(6, 3)).astype(np.float32)
    y = r.normal(size=(6, 3)).astype(np.float32)
    zero_one = r.integers(0, 2, (6, 3)).astype(np.float32)
    signs = zero_one * 2 - 1
    rates = np.abs(x) + 0.2
    counts = r.integers(0, 6, (6, 3)).astype(np.float32)
    step_x = r.normal(size=(2, 4, 3)).astype(np.float32)
    step_y = r.normal(size=(2, 4, 3)).astype(np.float32)
    masks = r.integers(0, 2, (2, 4, 3, 1)).astype(np.float32)
    mask_p = r.uniform(0.05, 0.95, (2, 4, 3, 1)).astype(np.float32)

    found = []

    def add(name, text, function, p, t, **more):
        found.append(loss_case(name, text, function, p, t, **more))

    sparse, dense, binary = "sparse_categorical_cross_entropy", "categorical_cross_entropy", "binary_cross_entropy"
    add("sparse", sparse + " {}", lambda t, p: L.sparse_categorical_crossentropy(t, p, True), logits, classes)
    # Keras makes the outputs add up to 1 once more, which the gradient alone shows.
    add("sparse_probabilities", sparse + " { from_logits: false }", L.sparse_categorical_crossentropy, softmax(logits),
        classes, prediction_gradients=None)
    add("sparse_sequence", sparse + " {}", lambda t, p: L.sparse_categorical_crossentropy(t, p, True), steps,
        step_classes)
    add("sparse_sequence_column", sparse + " {}", lambda t, p: L.sparse_categorical_crossentropy(t, p, True), steps,
        step_classes[..., None])
    add("sparse_sequence_probabilities", sparse + " { from_logits: false }", L.sparse_categorical_crossentropy,
        softmax(steps), step_classes, prediction_gradients=None)
    ignored = step_classes.copy()
    ignored[0, 1] = ignored[2, 3] = -1
    add("sparse_ignore_class", sparse + " { ignore_class: -1 }",
        lambda t, p: L.sparse_categorical_crossentropy(t, p, True, ignore_class=-1), steps, ignored)
    # Keras has label smoothing for one-hot labels only.
    add("sparse_smoothing", sparse + " { label_smoothing: 0.1 }",
        lambda t, p: L.categorical_crossentropy(keras.ops.one_hot(t, 4), p, True, 0.1), logits, classes)
    add("sparse_sequence_smoothing", sparse + " { label_smoothing: 0.3 }",
        lambda t, p: L.categorical_crossentropy(keras.ops.one_hot(t, 5), p, True, 0.3), steps, step_classes)
    add("categorical", dense + " {}", lambda t, p: L.categorical_crossentropy(t, p, True), logits, spread)
    add("categorical_smoothing", dense + " { label_smoothing: 0.2 }",
        lambda t, p: L.categorical_crossentropy(t, p, True, 0.2), logits, one_hot)
    add("categorical_probabilities", dense + " { from_logits: false }", L.categorical_crossentropy, softmax(logits),
        spread, prediction_gradients=None)
    add("categorical_sequence", dense + " {}", lambda t, p: L.categorical_crossentropy(t, p, True), steps, step_spread)
    add("binary", binary + " {}", lambda t, p: L.binary_crossentropy(t, p, True), x, zero_one)
    add("binary_smoothing", binary + " { label_smoothing: 0.2 }", lambda t, p: L.binary_crossentropy(t, p, True, 0.2),
        x, zero_one)
    add("binary_probabilities", binary + " { from_logits: false }", L.binary_crossentropy, sigmoid(x), zero_one)
    focal = "binary_focal_cross_entropy"
    add("binary_focal", focal + " {}", lambda t, p: L.binary_focal_crossentropy(t, p, from_logits=True), x, zero_one)
    add("binary_focal_balanced", focal + " { gamma: 1.5 alpha: 0.3 apply_class_balancing: true label_smoothing: 0.1 }",
        lambda t, p: L.binary_focal_crossentropy(t, p, True, 0.3, 1.5, True, 0.1), x, zero_one)
    add("binary_focal_probabilities", focal + " { from_logits: false }", L.binary_focal_crossentropy, sigmoid(x),
        zero_one)
    focal = "categorical_focal_cross_entropy"
    add("categorical_focal", focal + " {}", lambda t, p: L.categorical_focal_crossentropy(t, p, from_logits=True),
        logits, one_hot)
    add("categorical_focal_options", focal + " { alpha: 0.4 gamma: 3 label_smoothing: 0.1 }",
        lambda t, p: L.categorical_focal_crossentropy(t, p, 0.4, 3, True, 0.1), logits, one_hot)
    add("categorical_focal_probabilities", focal + " { from_logits: false }", L.categorical_focal_crossentropy,
        softmax(logits), one_hot)
    add("categorical_generalized", "categorical_generalized_cross_entropy { q: 0.7 }",
        lambda t, p: L.categorical_generalized_cross_entropy(t, p, 0.7), softmax(logits), classes)
    add("kl_divergence", "kl_divergence {}", L.kl_divergence, softmax(logits), spread)
    add("hinge", "hinge {}", L.hinge, x, signs)
    add("hinge_of_zero_and_one", "hinge {}", L.hinge, x, zero_one)
    add("squared_hinge", "squared_hinge {}", L.squared_hinge, x, signs)
    add("categorical_hinge", "categorical_hinge {}", L.categorical_hinge, logits, one_hot)
    add("mean_squared_error", "mean_squared_error {}", L.mean_squared_error, x, y)
    add("mean_squared_error_sequence", "mean_squared_error {}", L.mean_squared_error, step_x, step_y)
    add("mean_absolute_error", "mean_absolute_error {}", L.mean_absolute_error, x, y)
    add("mean_absolute_percentage_error", "mean_absolute_percentage_error {}", L.mean_absolute_percentage_error, x, y)
    add("mean_squared_logarithmic_error", "mean_squared_logarithmic_error {}", L.mean_squared_logarithmic_error,
        rates, counts)
    add("cosine_similarity", "cosine_similarity {}", L.cosine_similarity, x, y)
    add("cosine_similarity_sequence", "cosine_similarity {}", L.cosine_similarity, step_x, step_y)
    add("huber", "huber {}", L.huber, x * 2, y)
    add("huber_delta", "huber { delta: 0.4 }", lambda t, p: L.huber(t, p, 0.4), x, y)
    add("log_cosh", "log_cosh {}", L.log_cosh, x * 3, y)
    add("poisson", "poisson {}", L.poisson, rates, counts)
    # Over each example, not over the batch.
    axes = (1, 2, 3)
    add("dice", "dice {}", lambda t, p: L.dice(t, p, axis=axes), mask_p, masks)
    add("tversky", "tversky { alpha: 0.3 beta: 0.7 }", lambda t, p: L.tversky(t, p, 0.3, 0.7, axis=axes), mask_p, masks)
    for case in found:
        if case.get("prediction_gradients", 0) is None:
            del case["prediction_gradients"]
    return found
