"""Rules as data, and what they say of each flow."""
