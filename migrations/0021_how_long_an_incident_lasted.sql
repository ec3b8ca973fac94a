-- One text for SQLite and PostgreSQL.

-- When the alert that leads an incident began, and when the incident was over, in milliseconds, as its sender says: lists and
-- summaries count a duration between them, as messages do. Null where the sender does not say, while it goes on, and for what
-- was last changed before these columns: then it is when Firstlook was told.
ALTER TABLE incident ADD COLUMN began_at BIGINT;
ALTER TABLE incident ADD COLUMN over_at BIGINT;
