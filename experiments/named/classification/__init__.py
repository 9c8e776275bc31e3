"""Image classifiers that are robust by construction, and the others: training, attacks, certificates, two experiments."""
