"""How the tables came about: Alembic's environment, and a revision a step in `versions`."""
