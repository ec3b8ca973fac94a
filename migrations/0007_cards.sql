-- One text for SQLite and PostgreSQL.

-- The message of an incident on a channel where it can be changed in place, by the platform's own id of it.
CREATE TABLE card (
    incident_id TEXT   NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    channel     TEXT   NOT NULL,
    message_id  TEXT   NOT NULL,
    sent_at     BIGINT NOT NULL,
    PRIMARY KEY (incident_id, channel)
);
CREATE INDEX card_by_message ON card (message_id);

-- What people pressed on a card. id is the platform's own id of the event, so that the same press counts once.
CREATE TABLE press (
    id          TEXT   NOT NULL PRIMARY KEY,
    incident_id TEXT   NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    channel     TEXT   NOT NULL,
    message_id  TEXT   NOT NULL,
    person      TEXT   NOT NULL,
    action      TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    pressed_at  BIGINT NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('taken', 'done', 'refused', 'failed')),
    outcome     TEXT   NOT NULL
);
CREATE INDEX press_by_incident ON press (incident_id, pressed_at);
