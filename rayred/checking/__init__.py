"""Images that a data set holds twice: within a class, between classes, and between its splits."""
