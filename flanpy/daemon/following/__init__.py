"""A member that follows its cluster's store: to where it is, with a copy of all its keys on the disk."""
