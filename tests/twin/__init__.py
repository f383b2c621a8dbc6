"""A second, naive reading of the contract: slow, plain, and sharing nothing with the product but its values.

Answers are `True`, `False` and `None` (unknown). Where this and the product disagree, one of them is wrong.
"""

from tests.twin.decide import answer, decide

__all__ = ["answer", "decide"]
