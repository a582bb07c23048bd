"""Who made it, what it is made of, and what it did: keys and signatures, manifests, receipts."""
