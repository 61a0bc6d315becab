"""
Leader against follower
=======================

Logistic regression trains with weights, the follower answers with the worst margins; the best
round is kept.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

import convexnn as cx

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 5))
y = np.where(X @ np.arange(5) + 3.0 * rng.standard_normal(200) > 0.0, 1, -1)
game = cx.stackelberg(LogisticRegression(C=1e3), X, y, radius=0.5, rounds=8)

fig, ax = plt.subplots()
ax.plot([turn.value for turn in game.history], "o-", label="worst case")
ax.plot([turn.empirical for turn in game.history], "s--", label="on the samples")
ax.axvline(game.best, color="gray", lw=0.8)
ax.set(xlabel="round", ylabel="mean logistic loss")
ax.legend()

# %%
# What is asserted: no round is better than the one that is returned, nor any below its samples.

assert game.value <= min(turn.value for turn in game.history) + 1e-12
assert all(turn.empirical <= turn.value + 1e-9 for turn in game.history)
