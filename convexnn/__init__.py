"""Declare a convex learning problem, call ``solve()``, get a certified answer.

>>> import convexnn as cx
>>> X, y = [[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0]
>>> cx.solve(cx.ReluTraining(X, y, beta=0.1)).model.predict([[4.0]]).round(2)
array([3.97])
"""

from convexnn.contract.system.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
