-- One text for SQLite and PostgreSQL.

-- How often in a row whoever sent a message ended over it: what ends its process each time is put aside.
ALTER TABLE outbox ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;
