"""The figures of a log line, worked by hand."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState

from prism_cli.modeling.losses import TokenizedRow
from prism_cli.training.callbacks import StepHooks, TrainingCallbacks
from prism_cli.training.meter import Meter

YES, NO = 7, 8


def row(target: list[int], score: float = 0.0, prompt: int = 3) -> TokenizedRow:
    return TokenizedRow([1] * prompt, target, score, not target, "a:1")


def figures(meter: Meter, rows_per_step: int = 2) -> dict[str, Any]:
    return meter.figures(lambda state: [state], rows_per_step)


def test_losses_are_means_over_steps_and_margins_over_rows() -> None:
    """Yes: logits 2 and 1 (a target for yes; a score of .9). No: -1 and 3 (a target for no though
    its score is high; a score of exactly .5)."""
    meter = Meter(YES)
    rows = [row([YES, 5, 2]), row([], 0.9), row([NO, 2], 0.8), row([], 0.5)]
    for part in (slice(0, 2), slice(2, 4)):
        meter.start()
        logit = torch.tensor([2.0, 1.0, -1.0, 3.0])[part]
        meter.add(rows[part], logit, torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.0]))
        meter.stop()
    found = figures(meter)
    timed = found.pop("timed")
    assert found == {
        "loss": pytest.approx(7 / 4),
        "pointwise_loss": pytest.approx(6 / 4),
        "sft_loss": pytest.approx(1 / 4),
        "yes_logit": pytest.approx(1.5),
        "no_logit": pytest.approx(1.0),
        "margin": pytest.approx(0.5),
    }
    seconds = timed["tokens_per_second"] and 15 / timed["tokens_per_second"]
    assert timed["rows_per_second"] * seconds == pytest.approx(4, rel=0.01)
    assert timed["peak_memory_bytes"] > 50 << 20


def test_a_line_begins_anew_and_leaves_out_what_it_did_not_see() -> None:
    meter = Meter(YES)
    meter.add([row([YES, 2])], torch.tensor([9.0]), torch.tensor([1.0]), torch.tensor([1.0]))
    meter.stop()
    figures(meter)
    meter.add([row([NO, 2])], torch.tensor([-2.0]), torch.tensor([0.0]), torch.tensor([4.0]))
    meter.stop()
    found = figures(meter, rows_per_step=1)
    assert found["sft_loss"] == 4.0
    assert found["no_logit"] == -2.0
    assert not {"yes_logit", "margin"} & found.keys()


def test_a_meter_goes_on_from_its_state_to_the_same_bits() -> None:
    whole, first, second = Meter(YES), Meter(YES), Meter(YES)
    for number in range(7):
        rows = [row([YES, 2]), row([NO, 2])]
        values = torch.rand(3, 2, generator=torch.Generator().manual_seed(number))
        for meter in (whole, second if number >= 3 else first):
            if meter is second and number == 3:
                second.restore(first.state())
            meter.add(rows, *values)
            meter.stop()
    found, resumed = figures(whole), figures(second)
    del found["timed"], resumed["timed"]
    assert found == resumed


def test_a_step_takes_until_its_weights_were_checked() -> None:
    """On a GPU the check is the first that waits for the optimizer."""
    calls: list[str] = []

    def noting(name: str, answer: bool | None = None) -> Any:
        return lambda *_: calls.append(name) or answer

    hooks = StepHooks(
        noting("on_resume"), noting("on_step"), noting("stop_requested", False),
        noting("ends_early", False), noting("on_log"),
    )  # fmt: skip
    meter: Any = SimpleNamespace(start=noting("start"), stop=noting("stop"))
    weights: Any = SimpleNamespace(check_step=noting("check_step"))
    callbacks = TrainingCallbacks(hooks, meter, weights)
    words: Any = (None, TrainerState(global_step=1, max_steps=2), TrainerControl())
    callbacks.on_step_begin(*words)
    callbacks.on_step_end(*words)
    assert calls[:4] == ["start", "check_step", "stop", "on_step"]
