"""What static tools know of an answer, in a script as a user would write it."""

from typing import assert_type

import convexnn as cx

points, ring = [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]], [[0, 1], [1, 2], [2, 0]]
agents = cx.DistributedMedian(points, ring, weights=[1, 1, 2])
solution = cx.solve(agents, time_limit=10)
assert_type(solution.model.rounds, int)
assert_type(cx.compile(agents).run(start=solution).model.rounds, int)
assert_type(cx.compare(agents, ["newton"]).solutions[0].model.rounds, int)
