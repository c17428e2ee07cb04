"""Output for people: tables, notes, charts, diagrams, and live progress."""
