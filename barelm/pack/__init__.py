"""`.blm`, the packed model: what the host prepares and the metal reads straight into place."""
