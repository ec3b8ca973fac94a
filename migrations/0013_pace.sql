-- One text for SQLite and PostgreSQL.

-- When messages went to a channel's destination lately, as a list of times: the products count per destination, so the
-- replicas of a store share this. Kept on PostgreSQL alone, where there can be several.
CREATE TABLE pace (
    channel TEXT NOT NULL PRIMARY KEY,
    sent    TEXT NOT NULL
);
