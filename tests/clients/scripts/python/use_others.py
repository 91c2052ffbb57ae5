"""mixedbread and zeroentropy."""

from typing import Any

from mixedbread import Mixedbread
from outcome import args, report, shown
from zeroentropy import ZeroEntropy


def mixedbread(query: str = args.query, key: str = args.key, **more: Any) -> Any:
    client = Mixedbread(api_key=key, base_url=args.url, max_retries=0)
    reply = client.rerank(query=query, input=args.documents, **{"model": "m", **more})
    assert reply.usage.total_tokens >= 40
    return [
        shown(one.index, one.score, one.input, getattr(one, "evidence", None)) for one in reply.data
    ]


def zeroentropy(query: str = args.query, key: str = args.key, **more: Any) -> Any:
    client = ZeroEntropy(api_key=key, base_url=f"{args.url}/v1", max_retries=0)
    reply = client.models.rerank(query=query, documents=args.documents, **{"model": "m", **more})
    return [
        shown(one.index, one.relevance_score, None, getattr(one, "evidence", None))
        for one in reply.results
    ]


calls = {}
for rank in (mixedbread, zeroentropy):
    top = "top_k" if rank is mixedbread else "top_n"
    calls |= {
        rank.__name__: rank,
        f"{rank.__name__} top": lambda rank=rank, more={top: 2}: rank(**more),
        f"{rank.__name__} evidence": lambda rank=rank: rank(model="m:evidence"),
        f"{rank.__name__} key": lambda rank=rank: rank(key="other"),
        f"{rank.__name__} blank": lambda rank=rank: rank(" "),
        f"{rank.__name__} busy": lambda rank=rank: rank("busy river"),
        f"{rank.__name__} stopping": lambda rank=rank: rank("stopping river"),
    }
report(
    {
        **calls,
        "mixedbread input": lambda: mixedbread(return_input=True),
        "mixedbread evidence by field": lambda: mixedbread(extra_body={"evidence": True}),
    }
)
