"""The one exception that stands for a mistake of the user's."""


class UserError(ValueError):
    """Something the user gave is wrong; the mains print it as one line and exit with code 2.

    Args:
      argument: the flag, file or column at fault, as the user wrote it.
      expected: what would have been right.
      got: what came instead.
    """

    def __init__(self, argument: str, expected: str, got: str):
        self.argument = argument
        self.expected = expected
        self.got = got
        super().__init__(" ".join(f"{argument}: expected {expected}; got {got}".split()))
