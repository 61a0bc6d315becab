"""The methods that run in several processes, by engine and form."""

from __future__ import annotations

from convexnn.consensus import ConsensusForm
from convexnn.forms import GroupForm
from convexnn.network_lasso import LassoForm
from convexnn.solvers import distributed_admm, first_order, lasso_admm, median_homotopy
from convexnn.solvers.rounds import Spread, over_graph
from convexnn.solvers.sharded import SHARDED_FISTA

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
