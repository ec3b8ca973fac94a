-- One text for SQLite and PostgreSQL.

-- The gravest severity that any alert of an incident ever had, as its sender spells it: by it the incident is counted and
-- found, while severity is that of the alert that leads now. Null for what was last changed before this column.
ALTER TABLE incident ADD COLUMN gravest TEXT;
