"""Lines of help as sentences."""

from __future__ import annotations

import pytest

from docs.generate.wording import sentence


@pytest.mark.parametrize(
    ("help_", "said"),
    [
        ("how often peers\n are probed", "How often peers are probed."),
        ("etcd's addresses", "etcd's addresses."),
        ("subnet.env is written again", "subnet.env is written again."),
        ("dockerd's settings file", "dockerd's settings file."),
        ("systemds of hosts?", "Systemds of hosts?"),
        ("<name> of a host", "<name> of a host."),
        ("", "."),
    ],
)
def test_sentence_begins_with_a_capital_unless_a_name_begins_it(help_: str, said: str) -> None:
    assert sentence(help_) == said
