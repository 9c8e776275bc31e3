"""An LBDN fits a step."""
