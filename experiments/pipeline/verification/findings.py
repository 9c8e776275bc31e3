"""What a verification finds: one answer for each thing that was looked at, never two of them mixed."""

from collections.abc import Iterable
from dataclasses import dataclass

from observer.certification.verification import AGREES, DIFFERS, UNCONFIRMED, Finding

ABSENT, UNEXAMINED = "absent", "unexamined"  # answers that a certificate does not need
ANSWERS = (AGREES, ABSENT, UNEXAMINED, UNCONFIRMED, DIFFERS)


@dataclass(frozen=True)
class Findings:
    """All findings of a run, by answer.

    agrees : derived again, and the same up to rounding. differs : is not what the parts before it give. unconfirmed : neither in the
    time given. absent : logs or sources that are not here. unexamined : left out by ``fast``, or what nothing can show.
    """

    agrees: list[str]
    differs: list[str]
    unconfirmed: list[str]
    absent: list[str]
    unexamined: list[str]

    @classmethod
    def of(cls, found: Iterable[Finding]) -> "Findings":
        """By answer, in the order in which they were found, none of them twice."""
        texts: dict[str, list[str]] = {answer: [] for answer in ANSWERS}
        for finding in found:
            text = f"{finding.part}: {finding.text}"
            if text not in texts[finding.answer]:
                texts[finding.answer].append(text)
        return cls(**texts)

    @property
    def conclusion(self) -> str:
        """The last line: which of the answers decides."""
        if self.differs:
            return f"{len(self.differs)} differ"
        if self.unconfirmed:
            return f"nothing differs, and {len(self.unconfirmed)} not confirmed in the time given; --budget 10m gives it more"
        if self.unexamined:
            return f"as certified, as far as it was examined ({len(self.unexamined)} not examined)"
        return "as certified"
