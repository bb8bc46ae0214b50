"""What people look at: the table, the figures, the groups of redundant images, and the page."""
