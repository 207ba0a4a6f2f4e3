"""A sink that remembers everything."""


class Recorder:
    """A sink that remembers everything; it may begin with a state, as a resumed store does."""

    def __init__(self, sampler=None):
        self.sampler, self.draws, self.checkpoints, self.kept = sampler, [], [], {}
        self.states = []  # every state in its order, with the draws that there were

    def append(self, state, info, sampler, extras):
        self.draws.append((state, info, sampler, extras))
        self.states.append((sampler, len(self.draws)))

    def checkpoint(self, sampler):
        self.checkpoints.append(sampler)
        self.states.append((sampler, len(self.draws)))

    def keep(self, arrays):
        self.kept.update(arrays)

    def cursor(self):
        return len(self.draws), self.sampler


def drive(posterior, plan, sink):
    return list(plan.run(posterior, sink))
