"""Sections on scores, from figures that were worked out of rows."""

from prism_cli.domain.score_calibration import ScoreCalibration
from prism_cli.domain.threshold_sweep import ThresholdSweep
from prism_cli.reporting.page import Lines
from prism_cli.reporting.scores import calibration_section, threshold_section


def test_sections_hold_the_curves() -> None:
    calibration, sweep = ScoreCalibration(), ThresholdSweep()
    for number in range(200):
        score, verdict = number / 200, "yes" if number % 3 else "no"
        calibration.add(score, verdict)
        evidence = 10 if score > 0.5 else None
        sweep.add(score, verdict, 100, evidence, query_id=f"q{number % 9}", answer_read=True)
    first = calibration_section(calibration.content(), calibration.curves())
    second = threshold_section(sweep.content(), sweep.points())
    reliability = first.parts[0]
    assert isinstance(reliability, Lines)
    assert reliability.diagonal
    assert [len(line.points) for line in reliability.lines] == [15, 15]
    assert all(sum(line.weights) == 200 for line in reliability.lines)
    assert "not a probability" in first.words
    curves = [part for part in second.parts if isinstance(part, Lines)]
    assert [curve.mark for curve in curves] == [(0.5, "verdict")] * 3
    precision = curves[0].lines[0]
    assert precision.name == "precision"
    assert len(precision.points) == 100  # nothing lies above 1
    assert "99 of 200 documents are kept and 95.0% of all document tokens" in second.words


def test_figures_that_are_not_there_are_left_out() -> None:
    first = calibration_section(ScoreCalibration().content(), {})
    second = threshold_section(ThresholdSweep().content(), ThresholdSweep().points())
    assert first.parts == second.parts == ()
    sweep = ThresholdSweep()
    sweep.add(0.7, None, 0, None)
    second = threshold_section(sweep.content(), sweep.points())
    assert [part.title for part in second.parts if isinstance(part, Lines)] == [
        "Tokens that need not be read"
    ]
    assert second.words.endswith("1 of 1 documents are kept.")
