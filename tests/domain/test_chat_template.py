"""The chat template equals the profile, byte for byte, for any texts."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prism_cli.domain.chat_template import chat_template
from prism_cli.domain.prompting import PRISM, PRISM_NO_THINK, PROFILES, Profile

_HOSTILE = "Say \"{{ 1 }}\" {% if %} \\n 'é' 😀 <|im_end|>\n{# no #}"
ALL = [*PROFILES.values(), PRISM.with_instruct(_HOSTILE)]


@cache
def compiled(profile: Profile) -> Template:
    """Compile a chat template as transformers does."""

    def raise_exception(text: str) -> None:
        raise TemplateError(text)

    jinja = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    jinja.globals["raise_exception"] = raise_exception
    return jinja.from_string(chat_template(profile))


def render(profile: Profile, *messages: tuple[str, str], generate: bool = False) -> str:
    messages_sent = [{"role": role, "content": content} for role, content in messages]
    return compiled(profile).render(messages=messages_sent, add_generation_prompt=generate)


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
@given(query=st.text(), document=st.text())
def test_a_pair_gives_the_profile(profile: Profile, query: str, document: str) -> None:
    pair = (("query", query), ("document", document))
    assert render(profile, *pair) == profile.prompt(query, document)
    assert render(profile, *pair, generate=True) == profile.prompt(query, document)


def test_a_system_message_is_the_instruct_of_a_pair() -> None:
    rendered = render(PRISM, ("system", "Another task"), ("query", "q"), ("document", "d"))
    assert rendered == PRISM.with_instruct("Another task").prompt("q", "d")


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_a_user_message_with_the_formatted_pair_gives_the_same_prompt(profile: Profile) -> None:
    expected = f"<Instruct>: {profile.instruct}\n<Query>: q\n<Document>: d"
    assert render(profile, ("user", expected), generate=True) == profile.prompt("q", "d")
    system = ("system", profile.system)
    assert render(profile, system, ("user", expected), generate=True) == profile.prompt("q", "d")


def test_a_conversation_is_chatml() -> None:
    rendered = render(PRISM_NO_THINK, ("system", "s"), ("user", "u"), ("assistant", "a"))
    assert rendered == (
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n"
        "<|im_start|>assistant\na<|im_end|>\n"
    )


@pytest.mark.parametrize(
    "messages",
    [
        (("query", "q"),),
        (("document", "d"),),
        (("query", "q"), ("document", "d"), ("document", "e")),
    ],
)
def test_half_a_pair_is_refused(messages: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(TemplateError, match="one query and one document"):
        render(PRISM, *messages)
