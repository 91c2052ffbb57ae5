"""The plan before the first step, against numbers worked by hand."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import datasets
import pytest

from prism_cli.commands.train_plan import doubt_lines, plan_lines
from prism_cli.configs.base import validated
from prism_cli.configs.train import TrainConfig
from prism_cli.errors import UsageError
from prism_cli.modeling.model_folder import resolve_model
from prism_cli.training.data import COLUMNS, TokenizedRows
from prism_cli.training.memory import LargestPass, memory_estimate
from prism_cli.training.plan import Plan, make_plan
from tests.modeling.cut_tokenizer import VOCABULARY

LINEARS = 4 * 32 * 32 - 2 * 32 * 16 + 3 * 32 * 64  # weights of one layer of the tiny model


def settings(model: Path, **more: Any) -> TrainConfig:
    lora = {"r": 4, "alpha": 8, "target_modules": ("q_proj", "down_proj")}
    plain = {"gradient_checkpointing": False, "dtype": "float32", "warmup_steps": 1}
    return validated(TrainConfig, {"model": str(model), "lora": lora, **plain, **more})


def table() -> TokenizedRows:
    """Prompts of 10, 20, …, 80 tokens; the even rows with a target of 5, all with a score."""
    records = {
        "prompt": [[1] * (10 * number) for number in range(1, 9)],
        "target": [[2] * 5 if number % 2 == 0 else [] for number in range(1, 9)],
        "teacher_score": [0.5] * 8,
        "verdict": [1] * 8,
        "pointwise": [True] * 8,
        "sft": [number % 2 == 0 for number in range(1, 9)],
        "query_id": ["q"] * 8,
        "place": [f"a:{number}" for number in range(1, 9)],
        "pair": [1, 2, 3, 4, 5, 6, 7, 8],
    }
    counts = {
        "rows": 8, "pointwise": 8, "sft": 4, "both": 4, "truncated": 2, "rejected": 1,
        "dropped": {"no score and no verdict": 3},
    }  # fmt: skip
    return TokenizedRows(datasets.Dataset.from_dict(records, features=COLUMNS), counts)


def planned(
    model: Path, rows: TokenizedRows | None = None, processes: int = 1, **more: Any
) -> Plan:
    base = resolve_model(str(model))
    return make_plan(settings(model, **more), base, rows or table(), None, processes, "cpu")


def test_figures_worked_by_hand(tiny_model: Path) -> None:
    """One epoch of the sft pool, two rows a step: prompts 20, 40, 60, 80 and four target tokens
    that are read, each once."""
    plan = planned(tiny_model, epochs=1, rows_per_step=2)
    figures = plan.figures
    assert plan.steps == figures["steps"] == 2
    assert figures["draws"] == {"all": 4, "from_sft": 4}
    assert figures["tokens"] == 20 + 40 + 60 + 80 + 4 * 4
    assert figures["warmup_steps"] == 1
    assert figures["rows"] == {
        "usable": 8, "pointwise_alone": 4, "sft_alone": 0, "both": 4, "rejected": 1,
        "dropped": {"no score and no verdict": 3}, "truncated": 2, "truncated_share": 0.25,
    }  # fmt: skip
    lengths = figures["lengths"]
    assert lengths["histogram"] == [{"tokens": "1-64", "rows": 5}, {"tokens": "65-128", "rows": 3}]
    assert lengths["longest"] == 85
    assert lengths["mean"] == pytest.approx((360 + 4 * 5) / 8)
    assert plan.notes == []


def test_tokens_are_those_of_the_draws(tiny_model: Path) -> None:
    plan = planned(tiny_model, mixture="mixed", sft_ratio=0.5, rows_per_step=2)
    rows = table()
    drawn = rows.draws(plan.draws.rows.tolist(), plan.draws.from_sft.tolist())
    assert plan.figures["tokens"] == sum(row.tokens for row in drawn)
    assert 0 < plan.figures["draws"]["from_sft"] < len(drawn)
    pairs = [drawn[at : at + 2] for at in range(0, len(drawn), 2)]
    assert plan.figures["largest_pass"] == max(sum(row.tokens for row in pair) for pair in pairs)
    tight = planned(tiny_model, mixture="mixed", sft_ratio=0.5, rows_per_step=2, tokens_per_batch=9)
    assert tight.figures["largest_pass"] == max(row.tokens for row in drawn)


def test_what_a_person_should_know(tiny_model: Path) -> None:
    (note,) = planned(tiny_model, rows_per_step=2, warmup_steps=1000).notes
    assert "never reaches its peak" in note
    (note,) = planned(tiny_model, rows_per_step=2, patience=2).notes
    assert note == "patience = 2 has no effect without --dev"
    with pytest.raises(UsageError, match="at least one row for each of the 3 processes"):
        planned(tiny_model, processes=3, rows_per_step=2)


def test_a_weight_of_0_for_the_only_objective_is_told(tiny_model: Path) -> None:
    rows = table()
    alone = TokenizedRows(
        rows.table.remove_columns("pointwise").add_column("pointwise", [False] * 8), rows.counts
    )
    (note,) = planned(tiny_model, alone, rows_per_step=2, gamma_sft=0).notes
    assert note.startswith("gamma_sft = 0, and no drawn row has another objective")
    assert planned(tiny_model, rows_per_step=2, gamma_sft=0).notes == []
    assert planned(tiny_model, rows_per_step=2, gamma_point=0).notes == []
    with pytest.raises(ValueError, match="gamma_point and gamma_sft: both are 0"):
        planned(tiny_model, gamma_sft=0, gamma_point=0)


def test_why_there_are_fewer_steps_than_asked_for_is_told(tiny_model: Path) -> None:
    plan = planned(tiny_model, epochs=1, rows_per_step=2, max_steps=20)
    (note,) = plan.notes
    assert note == plan.figures["ended_by_epochs"]
    assert note == (
        "2 steps instead of max_steps = 20: epochs = 1 of 4 draws, 2 a step, end first; "
        "--epochs 10 is enough for all of them"
    )
    enough = planned(tiny_model, epochs=10, rows_per_step=2, max_steps=20)
    assert (enough.steps, enough.notes) == (20, [])
    assert planned(tiny_model, epochs=1, rows_per_step=2, max_steps=2).notes == []


def test_pairs_with_two_answers_are_counted_and_named(tiny_model: Path) -> None:
    """Rows 1 and 3 by verdict, 4 and 6 by score, 5 by its verdict against 2's score; 7 and 8 say
    the same."""
    change = {
        "pair": [1, 2, 1, 4, 2, 4, 7, 7],
        "verdict": [1, -1, 0, -1, 1, -1, 1, 1],
        "teacher_score": [None, 0.5, 0.9, 0.51, 0.1, 0.5, 0.1, 0.9],
    }
    rows = table()
    for name, values in change.items():
        kind = COLUMNS[name]
        column = datasets.Dataset.from_dict(
            {name: values}, features=datasets.Features({name: kind})
        )
        plain = rows.table.remove_columns(name)
        rows = replace(rows, table=datasets.concatenate_datasets([plain, column], axis=1))
    plan = planned(tiny_model, rows, rows_per_step=2)
    assert plan.figures["contradictions"] == {
        "pairs": 3, "rows": 6, "first": ["a:1 (yes) and a:3 (no)", "a:2 (no) and a:5 (yes)",
                                         "a:4 (yes) and a:6 (no)"],
    }  # fmt: skip
    (note,) = plan.notes
    assert "3 pairs contradict themselves" in note
    assert "such as a:1 (yes) and a:3 (no); a:2" in note


def test_the_memory_of_what_is_trained(tiny_model: Path) -> None:
    """Adapters of rank 4 on q_proj (32 to 32) and down_proj (64 to 32), in two layers."""
    largest = LargestPass(tokens=1000, target_tokens=10, longest=100)
    whole = VOCABULARY * 32 + 2 * (LINEARS + 2 * 32) + 32
    base = resolve_model(str(tiny_model))

    def estimate(config: TrainConfig, device: str) -> dict[str, int]:
        return memory_estimate(config, base, largest, device)

    found = estimate(settings(tiny_model), "cpu")
    adapters = 2 * 4 * (32 + 32 + 64 + 32)
    assert found["weights"] == 4 * whole
    assert found["adapters"] == 4 * adapters
    assert found["gradients"] == found["optimizer"] == 8 * adapters
    assert found["head"] == 10 * VOCABULARY * 16
    ends = 2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64)
    assert found["activations"] == 2 * 1000 * 4 * ends
    assert found["all"] == sum(size for name, size in found.items() if name != "all")

    less = estimate(settings(tiny_model, gradient_checkpointing=True), "cpu")
    assert less["activations"] == 1000 * 4 * ends + 2 * 1000 * 4 * 32
    upper = settings(tiny_model, lora={"r": 4, "alpha": 8, "first_layer": 1})
    assert estimate(upper, "cpu")["activations"] == 1000 * 4 * ends
    full = estimate(settings(tiny_model, method="full"), "cuda")
    assert (full["weights"], full["adapters"], full["process"]) == (4 * whole, 0, 0)
    assert full["optimizer"] == 8 * whole
    four = estimate(settings(tiny_model, quantize_base="nf4"), "cpu")
    assert found["weights"] - four["weights"] == pytest.approx((4 - 0.52) * 2 * LINEARS, abs=1)
    dora = settings(tiny_model, lora={**asdict(settings(tiny_model).lora), "use_dora": True})
    more = estimate(dora, "cpu")
    assert more["adapters"] - found["adapters"] == 4 * 2 * (32 + 32)
    assert more["activations"] == 2 * (
        1000 * 6 * ends + 1000 * 8 * (32 + 32) + 4 * (32 * 32 + 64 * 32)
    )


def test_few_rows_and_no_dev_rows_are_told(tiny_model: Path) -> None:
    few = planned(tiny_model, epochs=2, rows_per_step=16).figures
    assert doubt_lines(few) == [
        "few rows: 8, less than one optimizer step of 16",
        "no dev rows: the model is measured on nothing (--dev FILE; prism split)",
    ]
    assert [line.strip() for line in plan_lines(few, "utf-8")[-2:]] == doubt_lines(few)
    assert doubt_lines(planned(tiny_model, rows_per_step=8).figures | {"dev_rows": 4}) == []


def test_the_plan_in_words(tiny_model: Path) -> None:
    lines = plan_lines(planned(tiny_model, epochs=1, rows_per_step=2).figures, "utf-8")
    assert lines[0] == (
        "plan: 8 rows: 4 with both objectives, 0 with sft alone, 4 with pointwise alone; "
        "1 rejected, 3 dropped (no score and no verdict)"
    )
    unfit = table()
    unfit.counts["unfit_texts"] = {"yes with evidence that says nothing": 4}
    plan = planned(tiny_model, unfit, epochs=1).figures
    assert plan["rows"]["unfit_texts"] == unfit.counts["unfit_texts"]
    assert plan_lines(plan, "utf-8")[0] == (
        f"{lines[0]}, 4 by their score alone (yes with evidence that says nothing)"
    )
    assert "longest 85; 25.0% of documents cut" in lines[1]
    assert lines[2:4] == ["    1-64  5  " + "█" * 40, "  65-128  3  " + "█" * 24]
    assert "2 steps (1 of warmup), 4 draws (4 from the sft pool), 216 tokens" in lines[4]
    assert "memory about" in lines[5]
    assert plan_lines(planned(tiny_model).figures, "ascii")[2].endswith("#" * 40)
