"""Every canonical form and every point of one, each loaded from its home on first use.

>>> from convexnn import forms
>>> forms.GroupForm.__module__
'convexnn.relu.forms'
"""

from convexnn.contract.system.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
