"""The methods that run in several processes, by engine and form."""

from __future__ import annotations

from convexnn.median.consensus import ConsensusForm
from convexnn.median.network_lasso import LassoForm
from convexnn.relu.forms import GroupForm
from convexnn.solvers.median import admm as distributed_admm
from convexnn.solvers.median import first_order, lasso_admm
from convexnn.solvers.median import homotopy as median_homotopy
from convexnn.solvers.relu.sharded_fista import SHARDED_FISTA
from convexnn.solvers.rounds import Spread, over_graph

METHODS: dict[str, dict[type, Spread]] = {
    "mpi:admm": {
        ConsensusForm: over_graph(
            "admm", distributed_admm.DecentralisedAdmm, distributed_admm.DEFAULTS
        ),
        LassoForm: over_graph("admm", lasso_admm.LassoAdmm, lasso_admm.DEFAULTS),
    },
    "mpi:homotopy": {
        ConsensusForm: over_graph(
            "homotopy", median_homotopy.MedianHomotopy, median_homotopy.DEFAULTS
        )
    },
    **{
        f"mpi:{name}": {
            ConsensusForm: over_graph(name, first_order.maker(name), first_order.DEFAULTS)
        }
        for name in first_order.METHODS
    },
    "mpi:fista": {GroupForm: SHARDED_FISTA},
}
