-- One text for SQLite and PostgreSQL.

-- The rules that decided about a delivery, as words with a space between them (`flapping=300 cooldown`), beside the
-- sentence for people in `reason`; a number is the seconds that the rule puts something off.
ALTER TABLE delivery ADD COLUMN rules TEXT NOT NULL DEFAULT '';
