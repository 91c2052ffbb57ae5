"""Model specs: the kinds that each option accepts, and the hint for another kind."""

import pytest

from prism_cli.domain.model_specs import (
    KINDS,
    ROLES,
    fits,
    near_miss,
    near_short_name,
    spec_error,
    spec_kind,
)


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
def test_the_kind_of_a_spec_is_recognized(spec: str, api: str | None, kind: str | None) -> None:
    assert spec_kind(spec, api) == kind


PROVIDERS = {"voyage": "voyage", "exa": "exa", "deepseek": "openai", "router": "openai"}
MODELS = {"deepseek": ["deepseek-chat"], "router": ["deepseek/deepseek-chat", "google/flash"]}


@pytest.mark.parametrize(
    ("role", "spec", "api", "words", "example"),
    [
        ("reranker", "st:minilm", None, "--teacher of prism distill", "hf:prism-tiny"),
        ("reranker", "voyage/rerank-2", "voyage", "a reranker of a provider", "hf:prism-tiny"),
        ("teacher", "hf:smollm2", None, "a language model", "st:minilm"),
        ("teacher", "extractive", None, "--generator of prism distill", "st:minilm"),
        ("generator", "st:minilm", None, "--first-stage of prism eval", "extractive"),
        ("generator", "st:org/e5", None, "--first-stage of prism eval", "extractive"),
        ("generator", "voyage/rerank-2", "voyage", "--teacher of prism distill", "extractive"),
        ("judge", "bm25", None, "--first-stage of prism eval", "source"),
        ("rater", "source", None, "--judge of prism relabel", "hf:smollm2"),
        ("searcher", "hf:smollm2", None, "expected exa, tavily", "exa"),
        ("base", "extractive", None, "expected hf:smollm2", "hf:smollm2"),
    ],
)
def test_another_kind_is_named_with_its_option_and_an_example_that_works(
    role: str, spec: str, api: str | None, words: str, example: str
) -> None:
    assert not fits(role, spec, api)
    option = ROLES[role].option
    message = spec_error(role, spec, api, ["prism", "x", option, spec], PROVIDERS, MODELS)
    assert message.startswith(f"{option} {spec}: expected {ROLES[role].takes}")
    assert words in message
    assert message.endswith(f"\nFor example: prism x {option} {example}")


@pytest.mark.parametrize(
    ("role", "spec", "meant"),
    [
        ("teacher", "hf:org/e5", "st:org/e5"),
        ("first_stage", "hf:org/e5", "st:org/e5"),
        ("teacher", "minilm", "st:minilm"),
        ("teacher", "minlm", "st:minilm"),
        ("teacher", "voyag/rerank-2", "voyage/rerank-2"),
        ("generator", "smollm2", "hf:smollm2"),
        ("judge", "deepseek-chat", "deepseek/deepseek-chat"),
        ("judge", "deepseek-chatt", "deepseek/deepseek-chat"),
        ("judge", "google/flash", "router/google/flash"),
        ("judge", "sourc", "source"),
    ],
)
def test_the_corrected_command_has_the_intended_option(role: str, spec: str, meant: str) -> None:
    assert not fits(role, spec, None)
    option = ROLES[role].option
    message = spec_error(role, spec, None, ["prism", "x", option, spec], PROVIDERS, MODELS)
    assert message.endswith(f"\nCorrected: prism x {option} {meant}")
    joined = spec_error(role, spec, None, ["prism", "x", f"{option}={spec}"], PROVIDERS, MODELS)
    assert joined.endswith(f"\nCorrected: prism x {option}={meant}")


@pytest.mark.parametrize("spec", ["mylab/judge-1", "org/e5", "gpt", "source:much"])
@pytest.mark.parametrize("role", ["judge", "teacher"])
def test_no_command_is_suggested_without_a_near_match(role: str, spec: str) -> None:
    argv = ["prism", "x", ROLES[role].option, spec]
    message = spec_error(role, spec, None, argv, PROVIDERS, MODELS)
    assert "\n" not in message
    provider, slash, _ = spec.partition("/")
    advice = f"no provider is named {provider}: a server of your own goes into --provider-file"
    assert (advice in message) == bool(slash)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("prism-tyni", "hf:prism-tiny"), ("minilm", "st:minilm"), ("gpt2", None), ("exa", None)],
)
def test_names_near_a_built_in_model(name: str, meant: str | None) -> None:
    assert near_short_name(name, ("hf", "st")) == meant


def test_a_spec_outside_the_command_line_gets_no_corrected_command() -> None:
    assert "Corrected" not in spec_error(
        "teacher", "minilm", None, ["prism", "distill", "in.jsonl"]
    )


@pytest.mark.parametrize("role", ROLES)
def test_every_example_fits_its_own_option(role: str) -> None:
    assert fits(role, ROLES[role].example, None)
    assert set(ROLES[role].kinds) <= KINDS.keys()


def test_every_kind_has_an_option() -> None:
    assert {kind for role in ROLES.values() for kind in role.kinds} == KINDS.keys()


@pytest.mark.parametrize(
    ("role", "spec", "near"),
    [
        ("reranker", "hf:prism-tyni", "hf:prism-tiny"),
        ("reranker", "prism-tyni", "hf:prism-tiny"),
        ("judge", "hf:minilm", "st:minilm"),
        ("judge", "st:minilm:0.4", None),
        ("reranker", "prism-tiny", None),
        ("teacher", "st:org/minilm", None),
        ("first_stage", "minilm.trec", None),
        ("judge", "source:2", None),
    ],
)
def test_a_misspelt_built_in_model_gets_a_suggestion(
    role: str, spec: str, near: str | None
) -> None:
    assert near_miss(role, spec) == near
