"""The search for settings before a study."""
