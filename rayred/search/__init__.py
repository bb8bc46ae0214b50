"""The search for settings before a study: candidates, and the best of them."""
