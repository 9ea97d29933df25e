"""The schedules of Keras."""
from peer import number

STEPS = list(range(0, 13)) + [19, 20, 21, 29, 30, 31, 40, 55, 99, 100, 101, 150]


def made_with():
    import keras

    return f"keras {keras.__version__}"


def case(name, text, base, rates, steps=None, run_steps=100, **more):
    return {"kind": "schedule", "name": name, "text": text, "base": base, "run_steps": run_steps,
            "steps": steps or STEPS, "rates": [number(r) for r in rates], **more}


def keras_case(name, text, base, schedule, **more):
    return case(name, text, base, [schedule(s) for s in STEPS], tolerance=2e-6, **more)


def cases():
    import keras

    s = keras.optimizers.schedules
    return [
        keras_case("exponential", "exponential { steps: 10 factor: 0.7 }", 0.2, s.ExponentialDecay(0.2, 10, 0.7)),
        keras_case("exponential_staircase", "exponential { steps: 10 factor: 0.7 staircase: true }", 0.2,
                   s.ExponentialDecay(0.2, 10, 0.7, staircase=True)),
        keras_case("piecewise_constant_decay", "piecewise_constant_decay { boundaries: [5, 20] values: [0.3, 0.2, 0.05] }", 1,
                   s.PiecewiseConstantDecay([5, 20], [0.3, 0.2, 0.05])),
        keras_case("inverse_time_decay", "inverse_time_decay { decay_steps: 8 decay_rate: 0.5 }", 0.2,
                   s.InverseTimeDecay(0.2, 8, 0.5)),
        keras_case("inverse_time_staircase", "inverse_time_decay { decay_steps: 8 decay_rate: 0.5 staircase: true }", 0.2,
                   s.InverseTimeDecay(0.2, 8, 0.5, staircase=True)),
        keras_case("polynomial_decay", "polynomial_decay { decay_steps: 30 end_learning_rate: 0.01 power: 2 }", 0.2,
                   s.PolynomialDecay(0.2, 30, 0.01, 2.0)),
        keras_case("polynomial_of_the_run", "polynomial_decay {}", 0.2, s.PolynomialDecay(0.2, 100)),
        keras_case("polynomial_cycle", "polynomial_decay { decay_steps: 10 end_learning_rate: 0.01 power: 0.5 cycle: true }", 0.2,
                   s.PolynomialDecay(0.2, 10, 0.01, 0.5, cycle=True)),
        keras_case("cosine_decay", "cosine_decay { decay_steps: 40 alpha: 0.1 }", 0.2, s.CosineDecay(0.2, 40, 0.1)),
        keras_case("cosine_decay_warmup", "cosine_decay { decay_steps: 40 warmup_target: 0.5 warmup_steps: 10 }", 0.1,
                   s.CosineDecay(0.1, 40, warmup_target=0.5, warmup_steps=10)),
        keras_case("cosine_decay_restarts", "cosine_decay_restarts { first_decay_steps: 10 }", 0.2,
                   s.CosineDecayRestarts(0.2, 10)),
        keras_case("cosine_decay_restarts_options",
                   "cosine_decay_restarts { first_decay_steps: 7 t_mul: 1 m_mul: 0.8 alpha: 0.05 }", 0.2,
                   s.CosineDecayRestarts(0.2, 7, t_mul=1.0, m_mul=0.8, alpha=0.05)),
    ]
