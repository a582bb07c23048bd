"""Models that are served: by a node on this host, by many in racks; and what other programs are told of them."""
