"""Evaluation of rankings (`prism eval`): runs over data sets, measures, tests and metrics.json.

Ranking of one query's documents is in `prism_cli.ranking`, the report in `reporting.ranking`.
"""
