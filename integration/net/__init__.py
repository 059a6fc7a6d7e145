"""How one machine becomes several: namespaces, cables and addresses, programs inside, the number that a lab holds."""
