-- One text for SQLite and PostgreSQL.

-- The entity behind an incident's card whose text grows, by the platform's own id of it: kept before the card is sent, so
-- that whoever changes the card next, a process started anew or another replica, changes what people see.
CREATE TABLE card_entity (
    incident_id TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    channel     TEXT NOT NULL,
    entity      TEXT NOT NULL,
    PRIMARY KEY (incident_id, channel)
);
