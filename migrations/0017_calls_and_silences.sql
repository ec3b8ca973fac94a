-- One text for SQLite and PostgreSQL.

-- Who was called by name on a channel, and until when nobody calls them again: replicas and processes started anew keep to
-- it. caller is whoever is about to call them, and empty once they were called.
CREATE TABLE called (
    channel     TEXT   NOT NULL,
    person      TEXT   NOT NULL,
    caller      TEXT   NOT NULL,
    quiet_until BIGINT NOT NULL,
    PRIMARY KEY (channel, person)
);

-- Who silences an incident's alerts from a card, so that two people who press at once, before whichever replica, make one
-- silence. made is 1 once it is made; before that the row holds for as long as making it may take.
CREATE TABLE silence (
    incident_id TEXT   NOT NULL PRIMARY KEY REFERENCES incident (id) ON DELETE CASCADE,
    press_id    TEXT   NOT NULL,
    person      TEXT   NOT NULL,
    made        BIGINT NOT NULL,
    held_until  BIGINT NOT NULL
);

-- Messages that were an incident's card before another took their place: what is pressed on them is kept too.
CREATE TABLE card_before (
    channel     TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    incident_id TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    PRIMARY KEY (channel, message_id)
);
CREATE INDEX card_before_by_incident ON card_before (incident_id);
