"""What we ask of the world: name servers and next hops."""
