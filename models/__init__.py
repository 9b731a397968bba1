"""Users, tasks, and the PostgreSQL that stores them; nothing here knows HTTP."""
