"""Schedules that Keras does not have, by PyTorch."""
from cases.schedules import STEPS, case


def made_with():
    import torch

    return f"torch {torch.__version__}"


def torch_case(name, text, base, make, steps=100):
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], base)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    at = [s for s in STEPS if s < steps]
    return case(name, text, base, [rates[s] for s in at], at, steps)


def cases():
    import torch

    t = torch.optim.lr_scheduler
    return [
        torch_case("one_cycle", "one_cycle {}", 0.2, lambda o: t.OneCycleLR(o, 0.2, 100, cycle_momentum=False)),
        torch_case("one_cycle_options",
                   "one_cycle { total_steps: 60 pct_start: 0.2 anneal_strategy: LINEAR div_factor: 10 final_div_factor: 100 "
                   "three_phase: true }", 0.2,
                   lambda o: t.OneCycleLR(o, 0.2, 60, pct_start=0.2, anneal_strategy="linear", div_factor=10,
                                          final_div_factor=100, three_phase=True, cycle_momentum=False), 60),
        torch_case("warmup", "warmup { steps: 10 start_factor: 0.25 }", 0.2, lambda o: t.LinearLR(o, 0.25, 1.0, 10)),
        torch_case("warmup_before_cosine", "warmup { steps: 10 start_factor: 0.1 after { cosine_decay {} } }", 0.2,
                   lambda o: t.SequentialLR(o, [t.LinearLR(o, 0.1, 1.0, 10), t.CosineAnnealingLR(o, 90)], [10])),
    ]
