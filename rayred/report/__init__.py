"""The report of a study: result table, figures, groups of redundant images, and HTML page."""
