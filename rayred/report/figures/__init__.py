"""The figures of a study, one file a figure: PNG for screens, SVG for print.

Each figure is a function from values to a `matplotlib.figure.Figure`, beside one that returns its
words; `draw_figures` takes the values from a study and writes the files.
"""

from rayred.report.figures.drawn import Drawn, draw_figures

__all__ = ["Drawn", "draw_figures"]
