"""Ways to bring faults upon a lab: one until Enter, each in its turn, many by dice, and a long time without any."""
