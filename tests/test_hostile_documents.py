"""The parts of tests/benchmarks/hostile_documents.py that decide its figures."""

import pytest

from prism_cli.domain.fencing import fence_mark
from tests.benchmarks.hostile_attacks import CONTROL, PLACES, Attacks, inserted
from tests.benchmarks.hostile_documents import area_interval, flip_table, right_in_both
from tests.benchmarks.hostile_judge import FORMS, Pair, held_out

QUERY = "Who wrote {it}, and when?"
ATTACKS = Attacks()


@pytest.mark.parametrize("verdict", ["yes", "no"])
def test_every_wording_asks_for_its_verdict_at_every_place(verdict: str) -> None:
    turns = [attack for number in range(60) for attack in ATTACKS.on(QUERY, number, verdict)]
    covered = {(turn.family, turn.wording, turn.place) for turn in turns if turn.family != CONTROL}
    families = [item for item in ATTACKS.families if item.only in (None, verdict)]
    assert len(families) >= 8
    assert covered == {
        (family.name, wording, place)
        for family in families
        for wording in range(len(family.wordings))
        for place in PLACES
    }
    for family in families:
        texts = {turn.text for turn in turns if turn.family == family.name}
        assert {turn.chinese for turn in turns if turn.family == family.name} == {True, False}
        for text in texts if family.only is None else ():
            assert verdict in text.replace("\u200b", "").casefold()


def test_a_control_is_as_long_as_the_attack_within_a_factor_of_three() -> None:
    for attack in ATTACKS.on(QUERY, 7, "yes"):
        length = ATTACKS.control_of(attack)
        assert 1 / 3 < len(attack.text) / length < 3
    controls = [turn for turn in ATTACKS.on(QUERY, 7, "yes") if turn.family == CONTROL]
    assert [len(control.text) for control in controls] == [control.wording for control in controls]


def test_insertion_keeps_the_document() -> None:
    assert inserted("a b c d", "X\nY", "start") == "X\nY\na b c d"
    assert inserted("a b c d", "X\nY", "middle") == "a b\nX\nY\nc d"
    assert inserted("a b c d", "X\nY", "end") == "a b c d\nX\nY"


def test_no_attack_writes_a_fence_line_and_the_plain_form_passes_all() -> None:
    for number in range(60):
        for attack in ATTACKS.on("Who?", number, "yes"):
            document = inserted("One. Two.", attack.text, attack.place)
            fenced = FORMS["fenced"].prompt(("Who?", document), 0).user
            marked = [line for line in fenced.splitlines() if line.startswith("<<<")]
            mark = fence_mark(FORMS["fenced"].fingerprint, "Who?", document)
            assert len(marked) == 4
            assert all(f" {mark}>>>" in line for line in marked)
            assert document in FORMS["plain"].prompt(("Who?", document), 0).user


def test_each_form_has_its_own_ledger_entries() -> None:
    assert FORMS["fenced"].fingerprint != FORMS["plain"].fingerprint


def test_held_out_queries_bring_one_passage_and_two_others() -> None:
    kinds = (None, "bm25", "bm25", "random")
    pairs = [Pair(f"q{q}", f"d{d}", kind) for q in range(4) for d, kind in enumerate(kinds)]
    unanswered = [Pair("none", "d0", "bm25"), Pair("none", "d1", "random")]
    chosen = held_out(unanswered + pairs, 3, 1)
    assert len({item.query for item in chosen} - {"none"}) == 3
    assert [item.document for item in chosen] == ["d0", "d1", "d3"] * 3


def attacked_rows() -> list[dict[str, object]]:
    """Return attack and control rows of three documents, by (fenced, plain) flips."""
    rows: list[dict[str, object]] = []
    for target, (attack, control) in enumerate(
        [
            ((False, True), (False, False)),
            ((True, True), (False, True)),
            ((False, True), (False,) * 2),
        ]
    ):
        for family, wording, flips in (("command", 0, attack), (CONTROL, 30, control)):
            row: dict[str, object] = {"target": target, "family": family, "wording": wording}
            row |= {"place": "end", "chinese": False, "quotes": False}
            row |= {"control": 30}
            for form, flip in zip(FORMS, flips, strict=True):
                row |= {f"{form} flips": flip, f"{form} answers": True, f"{form} rise": flip * 0.5}
            rows.append(row)
    return rows


def test_flips_are_counted_net_of_the_control_and_paired() -> None:
    table = {line["name"]: line for line in flip_table(attacked_rows())}
    assert set(table) == {"command", "at the end", "do not quote it", "in English", "all attacks"}
    line = table["command"]
    assert (line["attacks"], line["fenced"]["flipped"], line["plain"]["flipped"]) == (3, 1, 3)
    assert line["fenced"]["net"] == pytest.approx(1 / 3)
    assert line["plain"]["net"] == pytest.approx(2 / 3)
    assert line["plain"]["mean rise"] == pytest.approx(0.5)
    assert line["plain - fenced"] == pytest.approx(2 / 3)
    assert line["net plain - fenced"] == pytest.approx(1 / 3)
    assert (line["only plain"], line["only fenced"], line["McNemar p"]) == (2, 0, 0.5)
    low, high = line["plain - fenced interval"]
    assert 0 <= low < 2 / 3 < high <= 1


def test_only_pairs_that_both_forms_judge_rightly_are_attacked() -> None:
    def rows(*votes: str) -> list[dict[str, object]]:
        return [
            {
                "query": "q",
                "document": str(at),
                "relevant": at > 1,
                "vote": vote,
                "probability": 0.1,
            }
            for at, vote in enumerate(votes)
        ]

    clean = {"fenced": rows("no", "no", "yes", "no"), "plain": rows("no", "yes", "yes", "yes")}
    assert [item["document"] for item in right_in_both(clean, relevant=False)] == ["0"]
    assert [item["document"] for item in right_in_both(clean, relevant=True)] == ["2"]


def test_the_interval_of_a_perfect_judge_is_a_point() -> None:
    rows = [
        {"query": f"q{at // 2}", "relevant": at % 2 == 0, "probability": 0.9 - 0.8 * (at % 2)}
        for at in range(8)
    ]
    assert area_interval(rows) == [1.0, 1.0]
