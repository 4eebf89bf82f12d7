"""Which AWS service, Region and partition a name or an address belongs to."""
