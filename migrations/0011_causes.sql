-- One text for SQLite and PostgreSQL.

-- Who investigates a cause for all incidents that have it: the first one that showed it.
CREATE TABLE cause (
    cause_key   TEXT   NOT NULL PRIMARY KEY,
    incident_id TEXT   NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    title       TEXT   NOT NULL,
    since       BIGINT NOT NULL
);
CREATE INDEX cause_by_incident ON cause (incident_id);

-- The others, and whom they leave it to.
CREATE TABLE follower (
    incident_id TEXT   NOT NULL PRIMARY KEY REFERENCES incident (id) ON DELETE CASCADE,
    leader_id   TEXT   NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    title       TEXT   NOT NULL,
    since       BIGINT NOT NULL
);
CREATE INDEX follower_by_leader ON follower (leader_id, since);

-- How often an investigation was repeated because alerts that joined changed the picture.
ALTER TABLE investigation ADD COLUMN repeats BIGINT NOT NULL DEFAULT 0;
