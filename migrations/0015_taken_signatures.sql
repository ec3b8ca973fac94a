-- One text for SQLite and PostgreSQL.

-- Signatures of deliveries that were taken and may not be played again, on whichever replica; kept while their time holds.
CREATE TABLE taken_signature (
    signature TEXT   NOT NULL PRIMARY KEY,
    taken_at  BIGINT NOT NULL
);
