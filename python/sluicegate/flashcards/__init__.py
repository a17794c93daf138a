"""Study cards from a Korean vocabulary, through a paid and limited API: the library's flagship user.

The application imports public names of `sluicegate` only, as a stranger's would. Install it with
``pip install "sluicegate[flashcards]"`` and start it with ``flashcards --help``.
"""
