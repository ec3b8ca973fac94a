-- One text for SQLite and PostgreSQL.

-- Keys that replicas make up for themselves and share: the first one's stays.
CREATE TABLE secret (
    name    TEXT   NOT NULL PRIMARY KEY,
    value   TEXT   NOT NULL,
    made_at BIGINT NOT NULL
);
