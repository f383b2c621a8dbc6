"""A workspace to look around in: sample people, documents and a fortnight of decisions, and agents that go on asking.

Nothing here is used by a service of one's own, and nothing leaves the machine.
"""
