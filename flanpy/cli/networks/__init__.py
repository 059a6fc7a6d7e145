"""Commands about named networks."""
