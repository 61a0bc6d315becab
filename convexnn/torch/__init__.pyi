# The functions on tensors: each lives where this line imports it from.
from convexnn.torch.margins import follower as follower
from convexnn.torch.medians import geometric_median as geometric_median
from convexnn.torch.weights import worst_weights as worst_weights
