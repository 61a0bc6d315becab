"""Estimators with the conventions of scikit-learn (extra: sklearn)."""

from convexnn.contract.system.optional import need

need("sklearn", "sklearn")  # before the modules here import it
