"""Ray as a place: connections, the layout of a study on nodes, the environment as found."""
