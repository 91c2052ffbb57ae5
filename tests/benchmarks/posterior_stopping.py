"""Judgements a row and changed verdicts of `prism relabel --stop posterior`, on simulated panels.

python tests/benchmarks/posterior_stopping.py [--draws 100] [--risk 0.01] [--teacher]

The votes of each panel have a known joint distribution (tests/panels.py), so that a rule's
judgements and changed verdicts are exact sums over all vote patterns. Rules are learned from random
audit rows: `changed` is the mean over draws, `95 %` their 95th percentile, `over` the share of
draws above the risk. `settled`: asking until the verdict cannot change. `known`: a rule that knows
the panel. Audit rows, which take every vote, come on top: 3 times the square root of a shard's
rows.

--teacher: random rows instead, with scores of a teacher of given AUC (normal, equal variances),
whose errors are independent of the judges', or fall on the rows that are hard for the judges too.
"""

import argparse
import random
import sys
from pathlib import Path
from statistics import NormalDist, fmean, quantiles

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from prism_cli.domain.agreement import Pattern
from prism_cli.domain.learned_rule import FOLDS, AuditRow, CheckedRule, full_verdict
from prism_cli.domain.posterior_stopping import StoppingRule
from tests.panels import PANELS, drawn, outcome

AUDITED = (75, 150, 400)
JUDGES, TESTED = 5, 4000


def show_panels(draws: int, risk: float) -> None:
    """Print a line for each panel and number of audit rows."""
    print(f"{'panel':42} {'settled':>7} {'known':>11} {'audit':>6} {'votes':>6} {'changed':>8} "
          f"{'95 %':>6} {'over':>5}")  # fmt: skip
    for name, panel in PANELS.items():
        settled, _ = outcome(StoppingRule({}, JUDGES, 0.0), panel)
        expected = {pattern: round(1e6 * share) for pattern, share in panel.items()}
        known = outcome(StoppingRule(expected, JUDGES, risk), panel)
        for rows in AUDITED:
            rules = (StoppingRule(drawn(panel, rows, seed), JUDGES, risk) for seed in range(draws))
            found = [outcome(rule, panel) for rule in rules]
            changed = [share for _, share in found]
            over = sum(share > risk for share in changed) / draws
            print(f"{name:42} {settled:7.2f} {known[0]:5.2f} {known[1]:5.2%} {rows:6} "
                  f"{fmean(votes for votes, _ in found):6.2f} {fmean(changed):8.2%} "
                  f"{quantiles(changed, n=20)[-1]:6.1%} {over:5.0%}", flush=True)  # fmt: skip


def random_row(
    chance: random.Random, right: float, auc: float, base: float, *, hard: bool
) -> tuple[Pattern, float]:
    """Return the votes on a row and its teacher's score.

    Args:
        hard: the judges err mostly where the teacher's noise is large: right in .72, else more.
    """
    normal, truth = NormalDist(), chance.random() < base
    distance, noise = 2**0.5 * normal.inv_cdf(auc), chance.gauss()
    if hard:
        right = 0.72 if abs(noise) > normal.inv_cdf(0.9) else (right - 0.2 * 0.72) / 0.8
    votes = (truth == (chance.random() < right) for _ in range(JUDGES))
    score = normal.cdf(noise + distance * truth - distance / 2)
    return tuple("yes" if vote else "no" for vote in votes), score


def show_teachers(draws: int, risk: float) -> None:
    """Print a line for each kind of teacher."""
    print(f"{'judges':>7} {'AUC':>5} {'yes':>4} {'errors':12} {'audit':>6} {'votes':>6} "
          f"{'without':>8} {'changed':>8}")  # fmt: skip
    for right, auc, base, hard in (
        (0.92, 0.85, 0.5, False), (0.92, 0.90, 0.5, False), (0.92, 0.95, 0.5, False),
        (0.92, 0.90, 0.3, False), (0.92, 0.90, 0.5, True), (0.83, 0.90, 0.5, False),
        (0.75, 0.90, 0.5, False),
    ):  # fmt: skip
        for audited in (150, 400):
            votes, without, changed = [], [], []
            for seed in range(draws):
                chance = random.Random(seed)
                rows = [random_row(chance, right, auc, base, hard=hard)
                        for _ in range(audited + TESTED)]  # fmt: skip
                learned = [AuditRow(*row, n % FOLDS) for n, row in enumerate(rows[:audited])]
                rule = CheckedRule(learned, JUDGES, risk, [1.0] * JUDGES).rule
                for pattern, score in rows[audited:]:
                    verdict, asked = rule.replay(pattern, score)
                    votes.append(len(asked))
                    changed.append(verdict != full_verdict(pattern))
                    without.append(len(rule.replay(pattern, None)[1]))
            print(f"{right:7} {auc:5} {base:4} {'on hard rows' if hard else 'independent':12} "
                  f"{audited:6} {fmean(votes):6.2f} {fmean(without):8.2f} "
                  f"{fmean(changed):8.2%}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--risk", type=float, default=0.01)
    parser.add_argument("--teacher", action="store_true")
    options = parser.parse_args()
    if options.teacher:
        show_teachers(max(2, options.draws // 10), options.risk)
    else:
        show_panels(options.draws, options.risk)


if __name__ == "__main__":
    main()
