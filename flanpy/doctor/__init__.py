"""The diagnosis of this host's overlay, with cures: facts are gathered once, pure checks judge them; causes first."""
