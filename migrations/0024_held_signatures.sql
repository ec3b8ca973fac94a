-- One text for SQLite and PostgreSQL.

-- Until when a signature is held for a delivery that is being taken; none once it was taken.
ALTER TABLE taken_signature ADD COLUMN held_until BIGINT;
