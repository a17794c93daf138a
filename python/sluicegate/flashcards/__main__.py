"""`python -m sluicegate.flashcards`: the `flashcards` command."""

from .cli import app

app()
