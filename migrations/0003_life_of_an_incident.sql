-- One text for SQLite and PostgreSQL.

-- A telling is one message for all its channels. What becomes of the alerts a delivery brought hangs on the telling
-- that names them first: sent when one channel took it, dead when all gave it up.
ALTER TABLE outbox ADD COLUMN telling TEXT NOT NULL DEFAULT '';
-- told: alerts of the delivery whose end is that of the telling; the rest were known and are merged.
ALTER TABLE delivery ADD COLUMN telling TEXT;
ALTER TABLE delivery ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN outcome TEXT NOT NULL DEFAULT 'merged'
    CHECK (outcome IN ('pending', 'sent', 'merged', 'suppressed', 'dead'));

-- When the report was found. An incident that takes over the last one's report takes over its age.
ALTER TABLE incident ADD COLUMN diagnosed_at BIGINT;

-- What an earlier version kept. Alerts that joined may have travelled with the first message; its fate is theirs.
UPDATE outbox SET telling = incident_id || ' ' || role;
UPDATE delivery SET outcome = 'suppressed' WHERE decision = 'suppressed';
UPDATE delivery SET told = alerts, outcome = 'pending',
                    telling = incident_id || CASE decision WHEN 'resolved' THEN ' resolved' ELSE ' first' END
WHERE decision IN ('opened', 'joined', 'resolved');
CREATE INDEX outbox_by_telling ON outbox (telling, state);
UPDATE delivery SET outcome = 'dead'
WHERE outcome = 'pending'
  AND EXISTS (SELECT 1 FROM outbox WHERE outbox.telling = delivery.telling)
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.telling = delivery.telling AND outbox.state <> 'dead');
UPDATE delivery SET outcome = 'sent'
WHERE outcome = 'pending'
  AND EXISTS (SELECT 1 FROM outbox WHERE outbox.telling = delivery.telling AND outbox.state = 'sent');
UPDATE delivery SET outcome = 'suppressed', told = 0
WHERE outcome = 'pending' AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.telling = delivery.telling);

CREATE INDEX delivery_untold ON delivery (telling) WHERE outcome IN ('pending', 'dead');
-- Everything the sums read, so that they read no row.
CREATE INDEX delivery_by_outcome ON delivery (outcome, alerts, told);
