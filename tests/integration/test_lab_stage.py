"""The demo's output is plain where nobody looks, and says where it failed."""

from __future__ import annotations

import pytest

from integration.drivers.stage import Stage, matrix


def test_stage_prints_plain_numbered_steps_when_no_terminal_looks(capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage(2)
    with stage.step("Build it"):
        stage.command("make", "it")
        stage.say("one\ntwo")

    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["[1/2] Build it", "      $ make it", "      one", "      two"]
    assert lines[4].startswith("      done in ")


def test_stage_names_the_step_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage(1)
    with pytest.raises(ZeroDivisionError), stage.step("Break it"):
        raise ZeroDivisionError
    stage.fail("it broke")

    out = capsys.readouterr().out
    assert "FAILED at step 1, Break it\n      it broke\n" in out
    assert "done in" not in out


def test_matrix_aligns_rows_and_columns() -> None:
    table = matrix("", ["h1c1", "h2c1"], [("h1c1", ["-", "0.11"]), ("h2c1", ["lost", "-"])])

    assert table.splitlines() == ["      h1c1  h2c1", "h1c1     -  0.11", "h2c1  lost     -"]
