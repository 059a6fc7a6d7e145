"""What ails this host's overlay, and what to do: facts are gathered once, pure checks judge them, causes come first."""
