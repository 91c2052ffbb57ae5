"""The page at `/`: ask a question of some documents, and see what an agent gets."""

import base64
import hashlib
import re
from importlib.resources import files

import orjson

EXAMPLE = {
    "query": "How long do whole eggs keep in the fridge?",
    "documents": [
        "Eggs in their shells keep for three to five weeks in a refrigerator at 4 °C. Hard-boiled "
        "eggs, peeled or not, keep for one week.",
        "The farm shop sells eggs, milk and bread. It is open from Tuesday to Saturday, and closed "
        "in January.",
        "Raw egg whites freeze well and can be stored for up to a year. Yolks turn thick in the "
        "freezer unless salt or sugar is beaten into them.",
    ],
}


def page(model: str, colours: str) -> tuple[bytes, str]:
    """Return the page, and its Content-Security-Policy: its own style, script and icon alone.

    Args:
        model: name of the model.
        colours: CSS of the colours.
    """
    text = (files("prism_cli.serving") / "page.html").read_text("utf-8")
    data = orjson.dumps({**EXAMPLE, "model": model}).decode()
    text = text.replace("/*COLOURS*/", colours)
    text = text.replace("/*EXAMPLE*/", data.replace("<", "\\u003c"))
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
