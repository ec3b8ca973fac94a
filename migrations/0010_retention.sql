-- One text for SQLite and PostgreSQL.

-- What became of alerts whose incidents were deleted after their time, so that the sums go on: accepted, and each outcome.
CREATE TABLE pruned (
    word   TEXT   NOT NULL PRIMARY KEY,
    alerts BIGINT NOT NULL
);
CREATE INDEX incident_by_end ON incident (resolved_at, id) WHERE state = 'resolved';
