-- One text for SQLite and PostgreSQL.

-- The daily summaries of a channel: the row is what keeps two replicas from both sending one.
-- due_at: while it is being sent, when the lease ends; after a failure, when it is tried again. attempt is the fence.
CREATE TABLE digest (
    channel    TEXT   NOT NULL,
    day        TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('sending', 'sent', 'dead')),
    attempt    BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    leased_by  TEXT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (channel, day)
);
