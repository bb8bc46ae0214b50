"""Statistics over results, and their words."""

from rayred.verdict.comparison import Advantage
from rayred.verdict.judge import FULL, Cell, Verdict, judge

__all__ = ["FULL", "Advantage", "Cell", "Verdict", "judge"]
