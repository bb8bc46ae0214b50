"""The verdict of a study: statistics over its results, and the sentence that states them.

Needs NumPy, SciPy and statsmodels only.

>>> from rayred.results.trial import Trial, TrialResult
>>> from rayred.verdict import judge
>>> accuracies = [0.900, 0.901, 0.899, 0.902, 0.898]
>>> results = [
...     TrialResult(Trial(selector, fraction, n, n, ""), 100, "finished", accuracy)
...     for selector, fraction in (("full", 1.0), ("semantic", 0.9))
...     for n, accuracy in enumerate(accuracies)
... ]
>>> verdict = judge("digits", results, margin=0.25)
>>> verdict.redundant_fraction
0.1
>>> print(verdict.sentence.partition(" (")[0])
10 % of digits is redundant: training on the semantic 90 % subset is equivalent to the full set \
within ±0.25 points
"""

from rayred.results.trial import FULL
from rayred.verdict.advantage import Advantage
from rayred.verdict.cells import Cell
from rayred.verdict.judge import Verdict, judge

__all__ = ["FULL", "Advantage", "Cell", "Verdict", "judge"]
