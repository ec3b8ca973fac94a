-- One text for SQLite and PostgreSQL.

-- What each model used up on a day (YYYY-MM-DD in the configured time zone); all replicas add to the same row.
-- cost is in the currency of the model's prices.
CREATE TABLE spending (
    day               TEXT             NOT NULL,
    model             TEXT             NOT NULL,
    prompt_tokens     BIGINT           NOT NULL,
    completion_tokens BIGINT           NOT NULL,
    cost              DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (day, model)
);

-- What was found out about a model at an address, so that a restart does not pay for finding it out again.
CREATE TABLE capability (
    model_key TEXT   NOT NULL PRIMARY KEY,
    probed_at BIGINT NOT NULL,
    json      TEXT   NOT NULL
);
