"""A prompt profile as a Jinja chat template, for tools that render prompts from one.

Messages of the roles `query` and `document`, as sentence-transformers' CrossEncoder and vLLM's
score and rerank endpoints pass them, give the profile's prompt byte for byte; an additional
`system` message replaces the instruct, as in Qwen3-Reranker's template. Other conversations are
rendered as plain ChatML with the profile's system sentence and assistant turn.
"""

import json

from prism_cli.domain.prompting import CHAT_END, Profile

_PAIR = """\
{%- set queries = messages | selectattr("role", "eq", "query") | map(attribute="content") | list %}
{%- set documents = messages | selectattr("role", "eq", "document") | map(attribute="content") \
| list %}
{%- set systems = messages | selectattr("role", "eq", "system") | map(attribute="content") | list %}
{%- if queries or documents %}
{%- if queries | length != 1 or documents | length != 1 %}
{{- raise_exception("expected one query and one document") }}
{%- endif %}
"""
_CHAT = """\
{%- else %}
{%- if not systems %}
@SYSTEM@
{%- endif %}
{%- for message in messages %}
{{- "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}
@ASSISTANT@
{%- endif %}
{%- endif %}
"""


def chat_template(profile: Profile) -> str:
    """Return the Jinja template of `profile`, of `messages` and `add_generation_prompt`."""
    before_instruct, _, before_query = profile.before_query.rpartition(profile.instruct)
    pair = (
        literal(before_instruct),
        f"{{{{- systems[0] if systems else {_quoted(profile.instruct)} }}}}",
        literal(before_query),
        "{{- queries[0] }}",
        literal(profile.before_document),
        "{{- documents[0] }}",
        literal(profile.suffix),
    )
    system = literal(f"<|im_start|>system\n{profile.system}{CHAT_END}\n")
    chat = _CHAT.replace("@SYSTEM@", system).replace("@ASSISTANT@", literal(profile.assistant))
    return _PAIR + "\n".join(pair) + "\n" + chat.rstrip("\n")


def literal(text: str) -> str:
    """Return `text` as a Jinja expression: its newlines and braces are not parsed as Jinja."""
    return f"{{{{- {_quoted(text)} }}}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
