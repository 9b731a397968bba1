"""Create the tables of the competitors, in the database that `DATABASE_URL` names.

They are what a good engineer would start with: one table, a primary key, and an index for the
default list. Requests are validated by the service; users belong to Better Auth.
"""

import os

import psycopg

TABLES = """
    CREATE SCHEMA todo;
    CREATE TABLE todo.tasks (
        id uuid CONSTRAINT pk_tasks PRIMARY KEY,
        user_id text NOT NULL,
        title text NOT NULL,
        description text,
        completed boolean NOT NULL DEFAULT false,
        priority text,
        due_date timestamptz,
        remind_at timestamptz,
        tags text[] NOT NULL DEFAULT '{}',
        completed_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX ix_tasks_created ON todo.tasks (user_id, created_at DESC, id DESC);
"""

if __name__ == "__main__":
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute(TABLES)
