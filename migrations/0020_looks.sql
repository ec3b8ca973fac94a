-- One text for SQLite and PostgreSQL.

-- Looks at an incident that came to an end and were followed by another, as the queue had them; `investigation` is the last.
CREATE TABLE look (
    incident_id TEXT   NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    number      BIGINT NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('done', 'dead')),
    attempt     BIGINT NOT NULL,
    last_error  TEXT,
    asked_at    BIGINT NOT NULL,
    ended_at    BIGINT,
    PRIMARY KEY (incident_id, number)
);

-- When a look after the first was asked for; the first was when it was queued.
ALTER TABLE investigation ADD COLUMN asked_at BIGINT;
-- What the playbook found (a report, JSON), from when a model is asked until the look ends.
ALTER TABLE investigation ADD COLUMN first_look TEXT;

-- What a delivery changed about its group (JSON): the alerts that joined, and those that ended while others fire on.
ALTER TABLE delivery ADD COLUMN changes TEXT;

-- An earlier version kept of looks only how often they were repeated, and when the report of the last was found.
INSERT INTO look (incident_id, number, state, attempt, asked_at, ended_at)
SELECT incident_id, 1, 'done', 1, created_at, CASE investigation.state WHEN 'done' THEN NULL ELSE diagnosed_at END
FROM investigation JOIN incident ON id = incident_id WHERE repeats > 0;
UPDATE investigation
SET asked_at = COALESCE((SELECT diagnosed_at FROM incident WHERE id = incident_id AND investigation.state <> 'done'), created_at)
WHERE repeats > 0;
