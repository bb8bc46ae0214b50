"""Ray as a place: connections, layout on nodes, the environment as found, Tune's runner."""
