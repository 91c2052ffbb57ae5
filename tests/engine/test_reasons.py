"""Rows that are pending for the same reason share one line."""

from prism_cli.engine.reasons import Reasons


def test_numbers_and_ids_make_no_other_reason() -> None:
    reasons = Reasons()
    for seconds in (183, 184, 190):
        reasons.add(f"lab (127.0.0.1:9): nothing for {seconds} s (request req_{seconds}a)")
    reasons.add("lab (127.0.0.1:9): nothing for 1.5 s (request 00-ff1)", 4)
    assert reasons == {"lab (127.0.0.1:9): nothing for 183 s (request req_183a)": 7}


def test_another_status_and_another_provider_are_other_reasons() -> None:
    reasons = Reasons()
    for reason in ("lab1: status 503 (x)", "lab2: status 503 (x)", "lab1: status 429 (x)"):
        reasons.add(reason)
    assert len(reasons) == 3
