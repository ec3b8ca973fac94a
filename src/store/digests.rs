//! Daily summaries: what they count, and who sends them.

use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sqlx::any::AnyRow;

use super::columns::{Columns, LEFT_BEHIND as KILLED, millis, now, storable};
use super::{Revival, Store, StoreError};
use crate::notify::notice::{Digest, Feedback, Judged, Line, Tally};

/// Lines of each list: a summary is read in a minute.
const SHOWN: i64 = 8;
/// How long a lost summary is shown: by then nobody wants to read it any more.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A summary is tried for two hours after its time; one whose time passed longer ago waits for nobody.
const LEFT_BEHIND: SignedDuration = SignedDuration::from_hours(3);

/// Who holds a summary that a person asks for, until a worker takes it.
const ASKED: &str = "asked for by a person";

/// A daily summary that nobody got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UndeliveredDigest {
    /// The channel; `a → b` when it was told on b instead and lost there too.
    pub channel: String,
    /// Its day.
    pub day: String,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// A daily summary that was taken for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedDigest {
    /// 1 the first time. Counts claims, so an older one has lost its lease.
    pub attempt: u32,
    /// Whoever sent it last was killed or hung, so that it may have arrived.
    pub left_behind: bool,
    /// When it was claimed at the latest, by a clock that nobody sets.
    pub claimed_at: Instant,
}

impl Store {
    /// What happened between two moments, as a summary of `day`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn digest(&self, day: Date, from: Timestamp, to: Timestamp) -> Result<Digest, StoreError> {
        let (from, to) = (from.as_millisecond(), to.as_millisecond());
        let counts = self
            .query(
                "SELECT COUNT(CASE WHEN opened_at >= $1 AND opened_at < $2 THEN 1 END) AS opened,
                        COUNT(CASE WHEN resolved_at >= $1 AND resolved_at < $2 THEN 1 END) AS resolved,
                        COUNT(CASE WHEN state = 'open' THEN 1 END) AS open_now,
                        COUNT(CASE WHEN opened_at >= $1 AND opened_at < $2 AND verdict = 'fault' THEN 1 END) AS diagnosed,
                        COUNT(CASE WHEN opened_at >= $1 AND opened_at < $2 AND verdict = 'no_fault' THEN 1 END) AS healthy,
                        (SELECT COUNT(*) FROM outbox WHERE state = 'dead')
                            + (SELECT COUNT(*) FROM digest WHERE state = 'dead' AND created_at >= $1) AS put_aside
                 FROM incident WHERE state = 'open' OR updated_at >= $1",
            )
            .bind(from)
            .bind(to);
        let row = self.row("count a day's incidents", counts).await?;
        let count = |name: &str| row.as_ref().map_or(Ok(0), |row| Columns(row).count(name));
        Ok(Digest {
            day: day.to_string(),
            opened: count("opened")?,
            resolved: count("resolved")?,
            open_now: count("open_now")?,
            diagnosed: count("diagnosed")?,
            healthy: count("healthy")?,
            put_aside: count("put_aside")?,
            severities: self.tallies(SEVERITIES, from, to).await?,
            noisiest: self.tallies(NOISIEST, from, to).await?,
            open: self.lines(OPEN, from, to).await?,
            slowest: self.lines(SLOWEST, from, to).await?,
            feedback: self.feedback(from, to).await?,
        })
    }

    async fn feedback(&self, from: i64, to: i64) -> Result<Option<Feedback>, StoreError> {
        let query = self.query(JUDGED).bind(from).bind(to);
        let Some(row) = self.row("count a day's feedback", query).await? else { return Ok(None) };
        let (judged, right) = (Columns(&row).count("judged")?, Columns(&row).count("right_ones")?);
        if judged == 0 {
            return Ok(None);
        }
        let query = self.query(WRONG).bind(from).bind(to).bind(SHOWN);
        let rows = self.rows("list a day's wrong diagnoses", query).await?;
        let wrong = rows.iter().map(|row| {
            let (person, reason) = (Columns(row).text("person")?, Columns(row).text("reason")?);
            Ok(Judged { line: line_of(row)?, person, reason })
        });
        Ok(Some(Feedback { judged, right, wrong: wrong.collect::<Result<_, StoreError>>()? }))
    }

    async fn tallies(&self, text: &'static str, from: i64, to: i64) -> Result<Vec<Tally>, StoreError> {
        let query = self.query(text).bind(from).bind(to).bind(SHOWN);
        self.rows("count a day's incidents", query).await?.iter().map(tally_of).collect()
    }

    async fn lines(&self, text: &'static str, from: i64, to: i64) -> Result<Vec<Line>, StoreError> {
        let query = self.query(text).bind(from).bind(to).bind(SHOWN);
        self.rows("list a day's incidents", query).await?.iter().map(line_of).collect()
    }

    /// Why a channel's summary of a day was given up; none when it was not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dead_digest(&self, channel: &str, day: Date) -> Result<Option<String>, StoreError> {
        let query = self
            .query("SELECT last_error FROM digest WHERE channel = $1 AND day = $2 AND state = 'dead'")
            .bind(channel.to_owned())
            .bind(day.to_string());
        let row = self.row("look for a lost daily summary", query).await?;
        row.map(|row| Ok(Columns(&row).optional_text("last_error")?.unwrap_or_default())).transpose()
    }

    /// The daily summaries that nobody got, of the last week: given up, or left behind by a process that ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn undelivered_digests(&self) -> Result<Vec<UndeliveredDigest>, StoreError> {
        let now = Timestamp::now();
        let query = self
            .query(
                "SELECT channel, day, last_error FROM digest
                 WHERE created_at >= $1 AND (state = 'dead' OR (state = 'sending' AND due_at < $2))
                 ORDER BY day, channel",
            )
            .bind((now - WEEK).as_millisecond())
            .bind((now - LEFT_BEHIND).as_millisecond());
        let rows = self.rows("list lost daily summaries", query).await?;
        rows.iter()
            .map(|row| {
                let (channel, day) = (Columns(row).text("channel")?, Columns(row).text("day")?);
                Ok(UndeliveredDigest { channel, day, last_error: Columns(row).optional_text("last_error")? })
            })
            .collect()
    }

    /// Puts a summary that nobody got back to be sent, because a person asks for it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn digest_again(&self, channel: &str, day: Date) -> Result<Revival<()>, StoreError> {
        let mut tx = self.begin().await?;
        let query = tx
            .query("SELECT state, due_at FROM digest WHERE channel = $1 AND day = $2 {locked}")
            .bind(channel.to_owned())
            .bind(day.to_string());
        let Some(row) = tx.row("look for a daily summary", query).await? else { return Ok(Revival::Unknown) };
        let (state, due) = (Columns(&row).text("state")?, Columns(&row).time("due_at")?);
        let is_lost = state == "dead" || (state == "sending" && due < Timestamp::now() - LEFT_BEHIND);
        if !is_lost {
            return Ok(Revival::NotDead);
        }
        let query = tx
            .query(
                "UPDATE digest SET state = 'sending', due_at = {now}, leased_by = $3,
                                   last_error = CASE WHEN state = 'sending' AND leased_by IS NOT NULL THEN $4 ELSE last_error END
                 WHERE channel = $1 AND day = $2",
            )
            .bind(channel.to_owned())
            .bind(day.to_string())
            .bind(ASKED)
            .bind(KILLED);
        tx.write("send a daily summary again", query).await?;
        tx.commit().await?;
        Ok(Revival::Again(()))
    }

    /// The days whose summary of this channel a person asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn digests_asked_for(&self, channel: &str) -> Result<Vec<Date>, StoreError> {
        let query = self
            .query("SELECT day FROM digest WHERE channel = $1 AND state = 'sending' AND leased_by = $2 ORDER BY day")
            .bind(channel.to_owned())
            .bind(ASKED);
        let rows = self.rows("look for daily summaries to send again", query).await?;
        let days: Result<Vec<String>, StoreError> = rows.iter().map(|row| Columns(row).text("day")).collect();
        Ok(days?.iter().filter_map(|day| day.parse().ok()).collect())
    }

    /// Takes a channel's summary of a day for sending; none when it was sent, is being sent by another process, or waits
    /// for its next try.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_digest(
        &self,
        channel: &str,
        day: Date,
        by: &str,
        lease: Duration,
    ) -> Result<Option<ClaimedDigest>, StoreError> {
        // Whoever settled it, for good or for a later try, holds it no more: it is still held by one that was killed or hung.
        let query = self
            .query(
                "INSERT INTO digest (channel, day, state, attempt, due_at, leased_by, created_at)
                 VALUES ($1, $2, 'sending', 1, {now} + $3, $4, $5)
                 ON CONFLICT (channel, day) DO UPDATE SET
                     attempt = digest.attempt + 1, due_at = excluded.due_at, leased_by = excluded.leased_by,
                     last_error = CASE WHEN digest.leased_by <> $6 THEN $7 ELSE digest.last_error END
                 WHERE digest.state = 'sending' AND digest.due_at <= {now}
                 RETURNING attempt, last_error",
            )
            .bind(channel.to_owned())
            .bind(day.to_string())
            .bind(millis(lease))
            .bind(by.to_owned())
            .bind(now())
            .bind(ASKED)
            .bind(KILLED);
        let claimed_at = Instant::now();
        let Some(row) = self.returning("take a daily summary", query).await? else { return Ok(None) };
        Ok(Some(ClaimedDigest {
            attempt: u32::try_from(Columns(&row).count("attempt")?).unwrap_or(u32::MAX),
            left_behind: Columns(&row).optional_text("last_error")?.is_some_and(|error| error == KILLED),
            claimed_at,
        }))
    }

    /// Holds a summary for another lease, for whoever was held up on the way. False when another process took it over.
    ///
    /// # Errors
    /// When the database fails; the summary is free again when its lease ends.
    pub async fn hold_on_digest(
        &self,
        channel: &str,
        day: Date,
        claim: &mut ClaimedDigest,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let query = self
            .query(
                "UPDATE digest SET due_at = {now} + $4
                 WHERE channel = $1 AND day = $2 AND attempt = $3 AND state = 'sending'",
            )
            .bind(channel.to_owned())
            .bind(day.to_string())
            .bind(i64::from(claim.attempt))
            .bind(millis(lease));
        claim.claimed_at = Instant::now();
        Ok(self.write("hold on to a daily summary", query).await? == 1)
    }

    /// Notes what became of an attempt: sent, or to be tried again after so long, or given up. False when another process took
    /// it over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_digest(
        &self,
        channel: &str,
        day: Date,
        attempt: u32,
        outcome: Result<(), (&str, Option<Duration>)>,
    ) -> Result<bool, StoreError> {
        let (state, wait, error) = match outcome {
            Ok(()) => ("sent", Duration::ZERO, None),
            Err((error, Some(wait))) => ("sending", wait, Some(storable(error).into_owned())),
            Err((error, None)) => ("dead", Duration::ZERO, Some(storable(error).into_owned())),
        };
        let query = self
            .query(
                "UPDATE digest SET state = $4, due_at = {now} + $5, last_error = $6, leased_by = NULL
                 WHERE channel = $1 AND day = $2 AND attempt = $3 AND state = 'sending'",
            )
            .bind(channel.to_owned())
            .bind(day.to_string())
            .bind(i64::from(attempt))
            .bind(state)
            .bind(millis(wait))
            .bind(error);
        Ok(self.write("note what became of a daily summary", query).await? == 1)
    }
}

// By the gravest each ever had, though it may have ended before a milder one that now leads.
const SEVERITIES: &str =
    "SELECT COALESCE(gravest, severity) AS name, COUNT(*) AS incidents, CAST(SUM(deliveries) AS BIGINT) AS deliveries
     FROM incident WHERE opened_at >= $1 AND opened_at < $2
     GROUP BY COALESCE(gravest, severity) ORDER BY incidents DESC, name LIMIT $3";
const NOISIEST: &str = "SELECT alertname AS name, COUNT(*) AS incidents, CAST(SUM(deliveries) AS BIGINT) AS deliveries
     FROM incident WHERE opened_at >= $1 AND opened_at < $2 GROUP BY alertname
     ORDER BY incidents DESC, deliveries DESC, name LIMIT $3";
// The gravest first, as `severity_rank` orders them.
const OPEN: &str = "SELECT id, alertname, severity, namespace, headline, COALESCE(began_at, opened_at) AS began_at,
            COALESCE(over_at, resolved_at) AS ended_at
     FROM incident WHERE state = 'open' AND opened_at < $2 AND $1 < $2
     ORDER BY CASE WHEN LOWER(severity) IN ('critical', 'page', 'emergency', 'fatal', 'disaster', 'p0') THEN 0
                   WHEN LOWER(severity) IN ('error', 'high', 'major', 'p1') THEN 1
                   WHEN LOWER(severity) IN ('warning', 'warn', 'medium', 'p2') THEN 2
                   WHEN LOWER(severity) IN ('info', 'notice', 'none', 'low', 'p3', 'p4') THEN 4 ELSE 3 END,
              COALESCE(began_at, opened_at), id LIMIT $3";
const SLOWEST: &str = "SELECT id, alertname, severity, namespace, headline, COALESCE(began_at, opened_at) AS began_at,
            COALESCE(over_at, resolved_at) AS ended_at
     FROM incident WHERE resolved_at >= $1 AND resolved_at < $2
     ORDER BY COALESCE(over_at, resolved_at) - COALESCE(began_at, opened_at) DESC, id LIMIT $3";

// The last press of a day is what an incident's diagnosis is judged by: people think again, and others know better.
const JUDGED: &str = "SELECT COUNT(*) AS judged, COUNT(CASE WHEN press.action = 'useful' THEN 1 END) AS right_ones
     FROM press
     WHERE press.state = 'done' AND press.action IN ('useful', 'useless')
       AND press.pressed_at >= $1 AND press.pressed_at < $2
       AND NOT EXISTS (SELECT 1 FROM press later
                       WHERE later.incident_id = press.incident_id AND later.state = 'done'
                         AND later.action IN ('useful', 'useless') AND later.pressed_at < $2
                         AND (later.pressed_at, later.id) > (press.pressed_at, press.id))";
const WRONG: &str =
    "SELECT incident.id, alertname, severity, namespace, headline, COALESCE(began_at, opened_at) AS began_at,
            COALESCE(over_at, resolved_at) AS ended_at, person, reason
     FROM press JOIN incident ON incident.id = press.incident_id
     WHERE press.state = 'done' AND press.action = 'useless' AND press.pressed_at >= $1 AND press.pressed_at < $2
       AND NOT EXISTS (SELECT 1 FROM press later
                       WHERE later.incident_id = press.incident_id AND later.state = 'done'
                         AND later.action IN ('useful', 'useless') AND later.pressed_at < $2
                         AND (later.pressed_at, later.id) > (press.pressed_at, press.id))
     ORDER BY press.pressed_at DESC, press.id DESC LIMIT $3";

fn tally_of(row: &AnyRow) -> Result<Tally, StoreError> {
    let row = Columns(row);
    Ok(Tally { name: row.text("name")?, incidents: row.count("incidents")?, deliveries: row.count("deliveries")? })
}

fn line_of(row: &AnyRow) -> Result<Line, StoreError> {
    let row = Columns(row);
    Ok(Line {
        alertname: row.text("alertname")?,
        severity: row.text("severity")?,
        namespace: row.text("namespace")?,
        headline: row.optional_text("headline")?,
        began_at: row.time("began_at")?,
        ended_at: row.optional_time("ended_at")?,
        incident: Some(row.id("id")?),
        page: None,
    })
}
