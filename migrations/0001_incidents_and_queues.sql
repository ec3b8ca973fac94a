-- One text for SQLite and PostgreSQL. Times are milliseconds since 1970, ids and JSON are TEXT.

-- An incident is one generation of a sender's group: from the first firing delivery until it resolves.
CREATE TABLE incident (
    id             TEXT   NOT NULL PRIMARY KEY,
    source         TEXT   NOT NULL,
    group_key_hash TEXT   NOT NULL,
    generation     BIGINT NOT NULL,
    state          TEXT   NOT NULL CHECK (state IN ('open', 'resolved')),
    opened_at      BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    resolved_at    BIGINT,
    deliveries     BIGINT NOT NULL,
    group_json     TEXT   NOT NULL,
    report         TEXT,
    -- Copied out of the two documents above, so that a list of incidents reads no JSON.
    alertname      TEXT   NOT NULL,
    severity       TEXT   NOT NULL,
    namespace      TEXT   NOT NULL,
    firing         BIGINT NOT NULL,
    verdict        TEXT,
    headline       TEXT,
    UNIQUE (source, group_key_hash, generation)
);
-- The guarantee everything else rests on: two deliveries that race open one incident, not two.
CREATE UNIQUE INDEX incident_one_open ON incident (source, group_key_hash) WHERE state = 'open';
CREATE INDEX incident_by_age ON incident (opened_at, id);

-- What was received and what was decided about it; suppressed deliveries belong to no incident.
CREATE TABLE delivery (
    id          TEXT   NOT NULL PRIMARY KEY,
    incident_id TEXT   REFERENCES incident (id) ON DELETE CASCADE,
    received_at BIGINT NOT NULL,
    status      TEXT   NOT NULL CHECK (status IN ('firing', 'resolved')),
    alerts      BIGINT NOT NULL,
    decision    TEXT   NOT NULL CHECK (decision IN ('opened', 'merged', 'joined', 'resolved', 'suppressed')),
    reason      TEXT   NOT NULL
);
CREATE INDEX delivery_by_incident ON delivery (incident_id, received_at);
CREATE INDEX delivery_by_decision ON delivery (decision);

-- The queue of investigations, at most one per incident.
-- due_at: when a ready one may start; while it runs, when its lease ends. Either way: when it may be claimed.
CREATE TABLE investigation (
    incident_id TEXT   NOT NULL PRIMARY KEY REFERENCES incident (id) ON DELETE CASCADE,
    state       TEXT   NOT NULL CHECK (state IN ('ready', 'running', 'done', 'dead', 'cancelled')),
    due_at      BIGINT NOT NULL,
    attempt     BIGINT NOT NULL,
    -- Counts claims and never goes back: whoever holds an older number has lost the lease.
    fence       BIGINT NOT NULL,
    leased_by   TEXT,
    last_error  TEXT,
    created_at  BIGINT NOT NULL,
    ended_at    BIGINT
);
CREATE INDEX investigation_live ON investigation (due_at, incident_id) WHERE state IN ('ready', 'running');
CREATE INDEX investigation_by_state ON investigation (state);

-- The recorded tool results of an investigation. full_text: before it was cut to size, when it was.
CREATE TABLE evidence (
    incident_id TEXT   NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    ordinal     BIGINT NOT NULL,
    reference   TEXT   NOT NULL,
    tool        TEXT   NOT NULL,
    arguments   TEXT   NOT NULL,
    text        TEXT   NOT NULL,
    full_text   TEXT,
    taken_at    BIGINT NOT NULL,
    PRIMARY KEY (incident_id, ordinal)
);

-- Messages on their way to people; due_at as above. Those of one incident on one channel form a lane, in which seq
-- orders them and only the first unsent one may go. The lane is a column of its own, because PostgreSQL, while it has
-- no statistics, looks for the others of an incident and channel by the index on the channel: all that wait, each time.
CREATE TABLE outbox (
    id          TEXT   NOT NULL PRIMARY KEY,
    incident_id TEXT   NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    channel     TEXT   NOT NULL,
    lane        TEXT   NOT NULL,
    seq         BIGINT NOT NULL,
    role        TEXT   NOT NULL CHECK (role IN ('first', 'joined', 'second', 'resolved')),
    notice      TEXT   NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('ready', 'sending', 'sent', 'dead')),
    due_at      BIGINT NOT NULL,
    -- Counts claims, so it is the fence as well.
    attempt     BIGINT NOT NULL,
    leased_by   TEXT,
    last_error  TEXT,
    form        TEXT,
    created_at  BIGINT NOT NULL,
    sent_at     BIGINT,
    UNIQUE (lane, seq)
);
CREATE INDEX outbox_live ON outbox (channel, due_at, id) WHERE state IN ('ready', 'sending');
CREATE INDEX outbox_unsent ON outbox (lane, seq) WHERE state IN ('ready', 'sending');
CREATE INDEX outbox_by_incident ON outbox (incident_id);
CREATE INDEX outbox_by_state ON outbox (state, channel);
