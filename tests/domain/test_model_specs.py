"""Model specs: what each option takes, and the hint for one of another kind."""

import pytest

from prism_cli.domain.model_specs import KINDS, ROLES, fits, refusal, spec_kind


@pytest.mark.parametrize(
    ("spec", "api", "kind"),
    [
        ("hf:org/name", None, "hf"),
        ("prism-tiny", None, "hf"),
        ("st:minilm:0.4", None, "st"),
        ("minilm", None, "st"),
        ("source:2", None, "source"),
        ("voyage/rerank-2", "voyage", "scores"),
        ("mylab/judge", "openai", "chats"),
        ("exa", None, "searches"),
        ("org/name", None, None),
        ("runs/2b", None, None),
    ],
)
def test_a_spec_tells_its_kind(spec: str, api: str | None, kind: str | None) -> None:
    assert spec_kind(spec, api) == kind


@pytest.mark.parametrize(
    ("role", "spec", "api", "words", "corrected"),
    [
        ("reranker", "st:minilm", None, "--teacher of prism distill", "hf:prism-tiny"),
        ("reranker", "voyage/rerank-2", "voyage", "a reranker of a provider", "hf:prism-tiny"),
        ("teacher", "hf:org/e5", None, "--model of prism rerank and eval", "st:org/e5"),
        ("teacher", "hf:smollm2", None, "a language model", "st:minilm"),
        ("teacher", "minilm", None, "expected st:minilm", "st:minilm"),
        ("teacher", "org/e5", None, "expected st:minilm", "st:org/e5"),
        ("teacher", "voyag/rerank-2", None, "(providers: voyage)", "voyage/rerank-2"),
        ("teacher", "extractive", None, "--generator of prism distill", "st:minilm"),
        ("generator", "st:minilm", None, "--first-stage of prism eval", "extractive"),
        ("generator", "voyage/rerank-2", "voyage", "--teacher of prism distill", "extractive"),
        ("generator", "smollm2", None, "expected extractive, hf:smollm2", "hf:smollm2"),
        ("judge", "bm25", None, "--first-stage of prism eval", "source"),
        ("rater", "source", None, "--judge of prism relabel", "hf:smollm2"),
        ("first_stage", "hf:org/e5", None, "--model of prism rerank", "bm25"),
        ("searcher", "hf:smollm2", None, "expected exa, tavily", "exa"),
        ("base", "extractive", None, "expected hf:smollm2", "hf:smollm2"),
    ],
)
def test_another_kind_is_named_with_its_option_and_a_command_that_works(
    role: str, spec: str, api: str | None, words: str, corrected: str
) -> None:
    assert not fits(role, spec, api)
    option = ROLES[role].option
    providers = {"voyage": "voyage", "exa": "exa"}
    told = refusal(role, spec, api, ["prism", "x", option, spec], providers)
    assert told.startswith(f"{option} {spec}: expected {ROLES[role].takes}")
    assert words in told
    assert told.endswith(f"Corrected: prism x {option} {corrected}")
    joined = refusal(role, spec, api, ["prism", "x", f"{option}={spec}"], providers)
    assert joined.endswith(f"Corrected: prism x {option}={corrected}")


def test_a_spec_that_does_not_stand_in_the_command_line_gets_no_corrected_one() -> None:
    assert "Corrected" not in refusal("teacher", "minilm", None, ["prism", "distill", "in.jsonl"])


@pytest.mark.parametrize("role", ROLES)
def test_every_example_fits_its_own_option(role: str) -> None:
    assert fits(role, ROLES[role].example, None)
    assert set(ROLES[role].kinds) <= KINDS.keys()


def test_every_kind_belongs_to_an_option() -> None:
    assert {kind for role in ROLES.values() for kind in role.kinds} == KINDS.keys()
