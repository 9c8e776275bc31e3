"""What a report is made from: the results of one run. Parts whose step has not been done are None."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observer.certification.certificate import Certificate
    from observer.fitting.result import FitResult
    from observer.validation.validate import Validation
    from observer.validation.worst_cases import WorstCaseStudy
    from systems import DiscreteSystem, System


@dataclass(frozen=True)
class Results:
    """The plant, and what was found about its observer; ``metrics`` is the content of ``metrics.json``."""

    system: "System"
    plant: "DiscreteSystem"
    fit: "FitResult | None" = None
    certificate: "Certificate | None" = None
    validation: "Validation | None" = None
    validation_noise: "Validation | None" = None
    command: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    starts: "WorstCaseStudy | None" = None
