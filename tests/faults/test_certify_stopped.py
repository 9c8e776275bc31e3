"""Ctrl-C in the middle of a certificate: the command ends, and no weaker certificate passes for a whole one."""

import pytest

from observer.certification.residual.search import Search


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_certificate_is_whole_or_not_there(observer, shop, monkeypatch, at):
    before = (shop / "run" / "certificate.json").read_bytes()
    real, rounds = Search._round, []

    def stopped(self, most):
        rounds.append(most)
        if len(rounds) == at + 1:
            raise KeyboardInterrupt
        real(self, most)

    monkeypatch.setattr(Search, "_round", stopped)
    answer = observer("certify", "run", "--quiet")
    assert len(rounds) == at + 1 and answer.code == 130 and answer.err.startswith("stopped"), answer.err
    assert (shop / "run" / "certificate.json").read_bytes() == before
