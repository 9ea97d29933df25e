"""Every optimizer with its options for six steps on two variables, and what all of them can do."""
import numpy as np

from peer import random, tensors

STEPS = 6


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


def start_and_gradients(seed):
    r = random(seed)
    start = {"dense/kernel": r.normal(size=(3, 3)), "dense/bias": r.normal(size=(3,))}
    start = {n: v.astype(np.float32) for n, v in start.items()}
    gradients = [{n: r.normal(0, 1 + 0.5 * i, v.shape).astype(np.float32) for n, v in start.items()}
                 for i in range(STEPS)]
    return start, gradients


def case(name, text, start, gradients, after, **more):
    return {"kind": "optimizer", "name": name, "text": text, "variables": tensors(start),
            "gradients": [tensors(g) for g in gradients], "after": [tensors(a) for a in after], **more}


def keras_case(name, text, optimizer, seed=3, constraints=None, **more):
    import keras

    start, gradients = start_and_gradients(seed)
    variables = {n: keras.Variable(v, name=n.replace("/", "_")) for n, v in start.items()}
    after = []
    for g in gradients:
        optimizer.apply([g[n] for n in start], [variables[n] for n in start])
        after.append({n: v.numpy() for n, v in variables.items()})
    return case(name, text, start, gradients, after, **more)


def lars_case(name, text, rate, momentum=0.9, decay=1e-4, trust=0.001, nesterov=False, kernels=False):
    """By its definition (You et al. 2017), in f64; Keras has none."""
    start, gradients = start_and_gradients(4)
    w = {n: v.astype(np.float64) for n, v in start.items()}
    m = {n: np.zeros_like(v) for n, v in w.items()}
    after = []
    for g in gradients:
        for n in w:
            d = g[n].astype(np.float64)
            if not kernels or w[n].ndim > 1:
                size, length = np.linalg.norm(w[n]), np.linalg.norm(d)
                d = (d + decay * w[n]) * (trust * size / (length + decay * size))
            m[n] = momentum * m[n] - rate * d
            w[n] = w[n] + (momentum * m[n] - rate * d if nesterov else m[n])
        after.append({n: v.copy() for n, v in w.items()})
    return case(name, text, start, gradients, after)


def cases():
    import keras

    o = keras.optimizers
    found = [
        keras_case("sgd", "sgd {} learning_rate: 0.1", o.SGD(0.1)),
        keras_case("sgd_momentum", "sgd { momentum: 0.9 weight_decay: 0.01 } learning_rate: 0.1",
                   o.SGD(0.1, momentum=0.9, weight_decay=0.01)),
        keras_case("sgd_nesterov", "sgd { momentum: 0.8 nesterov: true } learning_rate: 0.1",
                   o.SGD(0.1, momentum=0.8, nesterov=True)),
        keras_case("rmsprop", "rmsprop {} learning_rate: 0.05", o.RMSprop(0.05)),
        keras_case("rmsprop_momentum", "rmsprop { rho: 0.8 momentum: 0.5 weight_decay: 0.02 } learning_rate: 0.05",
                   o.RMSprop(0.05, rho=0.8, momentum=0.5, weight_decay=0.02)),
        keras_case("rmsprop_centered", "rmsprop { centered: true epsilon: 1e-5 } learning_rate: 0.05",
                   o.RMSprop(0.05, centered=True, epsilon=1e-5), tolerance=1e-4),
        keras_case("rmsprop_centered_momentum",
                   "rmsprop { centered: true momentum: 0.7 epsilon: 0.001 } learning_rate: 0.05",
                   o.RMSprop(0.05, centered=True, momentum=0.7, epsilon=0.001), tolerance=3e-5),
        keras_case("adagrad", "adagrad {} learning_rate: 0.1", o.Adagrad(0.1)),
        keras_case("adagrad_options", "adagrad { initial_accumulator: 0.5 epsilon: 0.001 weight_decay: 0.1 } learning_rate: 0.1",
                   o.Adagrad(0.1, initial_accumulator_value=0.5, epsilon=0.001, weight_decay=0.1)),
        keras_case("adam_options", "adam { beta1: 0.8 beta2: 0.99 epsilon: 0.001 weight_decay: 0.1 } learning_rate: 0.05",
                   o.Adam(0.05, beta_1=0.8, beta_2=0.99, epsilon=0.001, weight_decay=0.1)),
        keras_case("adamw", "adamw {} learning_rate: 0.05", o.AdamW(0.05)),
        keras_case("adamw_options", "adamw { beta1: 0.95 beta2: 0.9 weight_decay: 0.3 } learning_rate: 0.05",
                   o.AdamW(0.05, beta_1=0.95, beta_2=0.9, weight_decay=0.3)),
        keras_case("amsgrad", "amsgrad {} learning_rate: 0.05", o.Adam(0.05, amsgrad=True)),
        keras_case("amsgrad_with_decay", "amsgrad { beta2: 0.5 weight_decay: 0.2 } learning_rate: 0.05",
                   o.AdamW(0.05, beta_2=0.5, weight_decay=0.2, amsgrad=True)),
        keras_case("adamax", "adamax {} learning_rate: 0.05", o.Adamax(0.05)),
        keras_case("adamax_options", "adamax { beta1: 0.8 beta2: 0.9 epsilon: 0.01 weight_decay: 0.1 } learning_rate: 0.05",
                   o.Adamax(0.05, beta_1=0.8, beta_2=0.9, epsilon=0.01, weight_decay=0.1)),
        keras_case("nadam", "nadam {} learning_rate: 0.05", o.Nadam(0.05)),
        keras_case("nadam_options", "nadam { beta1: 0.8 beta2: 0.9 epsilon: 0.01 weight_decay: 0.1 } learning_rate: 0.05",
                   o.Nadam(0.05, beta_1=0.8, beta_2=0.9, epsilon=0.01, weight_decay=0.1)),
        keras_case("adadelta", "adadelta {} learning_rate: 1", o.Adadelta(1.0)),
        keras_case("adadelta_options", "adadelta { rho: 0.8 epsilon: 0.01 weight_decay: 0.1 } learning_rate: 0.5",
                   o.Adadelta(0.5, rho=0.8, epsilon=0.01, weight_decay=0.1)),
        keras_case("ftrl", "ftrl {} learning_rate: 0.1", o.Ftrl(0.1)),
        keras_case("ftrl_options",
                   "ftrl { learning_rate_power: -0.3 initial_accumulator: 0.2 l1: 0.3 l2: 0.1 l2_shrinkage: 0.05 beta: 0.4 "
                   "weight_decay: 0.1 } learning_rate: 0.1",
                   o.Ftrl(0.1, learning_rate_power=-0.3, initial_accumulator_value=0.2, l1_regularization_strength=0.3,
                          l2_regularization_strength=0.1, l2_shrinkage_regularization_strength=0.05, beta=0.4,
                          weight_decay=0.1), tolerance=3e-5),
        keras_case("lion", "lion {} learning_rate: 0.05", o.Lion(0.05)),
        keras_case("lion_options", "lion { beta1: 0.6 beta2: 0.8 weight_decay: 0.1 } learning_rate: 0.05",
                   o.Lion(0.05, beta_1=0.6, beta_2=0.8, weight_decay=0.1)),
        keras_case("lamb", "lamb {} learning_rate: 0.05", o.Lamb(0.05), tolerance=2e-5),
        keras_case("lamb_options", "lamb { beta1: 0.8 beta2: 0.9 epsilon: 0.01 weight_decay: 0.1 } learning_rate: 0.05",
                   o.Lamb(0.05, beta_1=0.8, beta_2=0.9, epsilon=0.01, weight_decay=0.1), tolerance=2e-5),
        keras_case("adafactor", "adafactor {} learning_rate: 0.3", o.Adafactor(0.3)),
        keras_case("adafactor_options",
                   "adafactor { beta2_decay: -0.5 epsilon1: 0.001 epsilon2: 0.01 clip_threshold: 0.7 weight_decay: 0.1 } "
                   "learning_rate: 0.3",
                   o.Adafactor(0.3, beta_2_decay=-0.5, epsilon_1=0.001, epsilon_2=0.01, clip_threshold=0.7,
                               weight_decay=0.1)),
        keras_case("muon", "muon {} learning_rate: 0.05", o.Muon(0.05), tolerance=1e-4),
        keras_case("muon_options",
                   "muon { momentum: 0.8 nesterov: false weight_decay: 0.1 rms_rate: 0.5 ns_steps: 3 adam_beta1: 0.8 "
                   "adam_beta2: 0.9 adam_weight_decay: 0.2 adam_lr_ratio: 0.5 } learning_rate: 0.05",
                   o.Muon(0.05, momentum=0.8, nesterov=False, weight_decay=0.1, rms_rate=0.5, ns_steps=3, adam_beta_1=0.8,
                          adam_beta_2=0.9, adam_weight_decay=0.2, adam_lr_ratio=0.5), tolerance=1e-4),
        lars_case("lars", "lars {} learning_rate: 2", 2.0),
        lars_case("lars_options",
                  "lars { momentum: 0.8 nesterov: true weight_decay: 0.1 trust_coefficient: 0.02 } learning_rate: 1 "
                  "decay: KERNELS", 1.0, 0.8, 0.1, 0.02, True, True),
        keras_case("clipnorm", "adam {} learning_rate: 0.05 clipnorm: 2", o.Adam(0.05, clipnorm=2.0)),
        keras_case("clipvalue", "sgd { momentum: 0.5 } learning_rate: 0.1 clipvalue: 0.4",
                   o.SGD(0.1, momentum=0.5, clipvalue=0.4)),
        keras_case("global_clipnorm", "sgd {} learning_rate: 0.1 global_clipnorm: 3", o.SGD(0.1, global_clipnorm=3.0)),
        keras_case("ema_overwrites", "sgd {} learning_rate: 0.1 use_ema: true ema_momentum: 0.7 ema_overwrite_frequency: 3",
                   o.SGD(0.1, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=3)),
        keras_case("gradient_accumulation", "adam {} learning_rate: 0.05 gradient_accumulation_steps: 3 clipnorm: 1",
                   o.Adam(0.05, gradient_accumulation_steps=3, clipnorm=1.0)),
        keras_case("schedule", "sgd {} learning_rate: 0.1 schedule { polynomial_decay { decay_steps: 4 } }",
                   o.SGD(o.schedules.PolynomialDecay(0.1, 4))),
    ]
    excluding = o.AdamW(0.05, weight_decay=0.5)
    excluding.exclude_from_weight_decay(var_names=["bias"])
    found.append(keras_case("decay_of_kernels", "adamw { weight_decay: 0.5 } learning_rate: 0.05 decay: KERNELS", excluding))
    excluding = o.AdamW(0.05, weight_decay=0.5)
    excluding.exclude_from_weight_decay(var_names=["kernel"])
    found.append(keras_case("decay_by_name",
                            'adamw { weight_decay: 0.5 } learning_rate: 0.05 exclude_from_weight_decay: "dense/kernel"',
                            excluding))
    return found
