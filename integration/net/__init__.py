"""The parts that make one machine several: namespaces, cables and addresses, programs inside, the number that a
lab holds."""
