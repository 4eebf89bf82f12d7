"""The tables: their columns, which are the contract of all rooms, and the types that columns consist of."""
