"""infinity-client: rerank and health."""

from typing import Any

from infinity_client import AuthenticatedClient
from infinity_client.api.default import health, rerank
from infinity_client.models import RerankInput
from outcome import args, report, shown


def client(key: str = args.key, **more: Any) -> Any:
    return AuthenticatedClient(base_url=args.url, token=key, **more)


def rank(query: str = args.query, key: str = args.key, evidence: bool = False, **more: Any) -> Any:
    body = RerankInput(query=query, documents=args.documents, model="m", **more)
    if evidence:
        body["evidence"] = True
    reply = rerank.sync(client=client(key, raise_on_unexpected_status=True), body=body)
    assert (reply.object_.value, reply.model) == ("rerank", "river")
    return [
        shown(
            one.index,
            one.relevance_score,
            one.document["text"] if one.document else None,
            one.additional_properties.get("evidence"),
        )
        for one in reply.results
    ]


report(
    {
        "plain": rank,
        "top": lambda: rank(top_n=2),
        "documents": lambda: rank(return_documents=True),
        "raw": lambda: rank(raw_scores=True),
        "evidence": lambda: rank(evidence=True),
        "health": lambda: health.sync_detailed(client=client()).status_code,
        "key": lambda: rank(key="other"),
        "blank": lambda: rank(" "),
        "busy": lambda: rank("busy river"),
        "stopping": lambda: rank("stopping river"),
    }
)
