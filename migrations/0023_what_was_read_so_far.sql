-- One text for SQLite and PostgreSQL.

-- What an investigation under way has read so far, for whoever takes it up when its process dies. In parts, as it was
-- read; gone when the investigation comes to its end or is made again, and with its incident at the latest.
CREATE TABLE read_so_far (
    incident_id TEXT   NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    part        BIGINT NOT NULL,
    recorded    TEXT   NOT NULL,
    kept_at     BIGINT NOT NULL,
    PRIMARY KEY (incident_id, part)
);
