"""The one exception for what a user gave us; anything else that is raised is a bug of ours."""


class EmolibError(Exception):
    """Bad input. The message is one sentence: what was found, what was expected, what to do."""
