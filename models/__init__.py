"""Users, tasks, and the PostgreSQL that keeps them; nothing here knows HTTP."""
