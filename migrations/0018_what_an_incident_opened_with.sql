-- One text for SQLite and PostgreSQL.

-- The alert an incident opened with, as it was then (JSON): all mails of an incident have it in their subject, whatever joins,
-- ends or fires anew meanwhile. Null for what was opened before this column.
ALTER TABLE incident ADD COLUMN opened_with TEXT;
