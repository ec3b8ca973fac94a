//! The list of incidents as people browse it: narrowed down, page by page, with counts and what there is to choose from.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::columns::Columns;
use super::{IncidentState, IncidentSummary, InvestigationState, Query, Store, StoreError};

/// Values offered of each kind; a namespace beyond them can still be typed.
const OFFERED: i64 = 100;

/// Which incidents to list. What is empty narrows nothing down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// Only open or only resolved ones.
    pub state: Option<IncidentState>,
    /// Of this severity at its gravest, as its sender spells it.
    pub severity: String,
    /// Of this namespace.
    pub namespace: String,
    /// Whose alert's name contains this, in any case.
    pub alert: String,
}

/// An incident in the list, with what goes on around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The incident.
    pub incident: IncidentSummary,
    /// Where its investigation stands; none when none was ever queued.
    pub investigation: Option<InvestigationState>,
    /// Messages about it that were given up.
    pub undelivered: u64,
}

/// How many there are of each state, whatever state is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByState {
    /// Open ones.
    pub open: u64,
    /// Resolved ones.
    pub resolved: u64,
}

/// What incidents can be narrowed down to, the most frequent first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Severities.
    pub severities: Vec<String>,
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Names of alerts.
    pub alerts: Vec<String>,
}

/// Where an incident stands, in so few words that it can be asked once a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// Another text whenever a page about it would read differently.
    pub version: String,
    /// When its investigation was asked for, while that goes on.
    pub investigating_since: Option<Timestamp>,
    /// Whether a message about it waits or is being sent.
    pub unsent: bool,
}

impl Pulse {
    /// Whether a page about it is about to change.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.investigating_since.is_some() || self.unsent
    }
}

impl Store {
    /// Where an incident stands; none when there is none of this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pulse(&self, id: Uuid) -> Result<Option<Pulse>, StoreError> {
        let query = self
            .query(
                "SELECT incident.state, updated_at, investigation.state AS investigation, investigation.attempt,
                        COALESCE(asked_at, investigation.created_at) AS asked_at,
                        CAST(CASE WHEN first_look IS NULL THEN 0 ELSE 1 END AS BIGINT) AS looked,
                        (SELECT COUNT(*) FROM outbox WHERE incident_id = $1) AS messages,
                        (SELECT COUNT(*) FROM outbox WHERE incident_id = $1 AND state IN ('sent', 'dead')) AS over
                 FROM incident LEFT JOIN investigation ON investigation.incident_id = incident.id
                 WHERE incident.id = $1",
            )
            .bind(id.to_string());
        self.row("see where an incident stands", query).await?.as_ref().map(pulse_of).transpose()
    }

    /// Incidents, newest first, at most `limit`; those older than `before` (time opened and id of the last one seen).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn listed(
        &self,
        narrowed: &Narrowed,
        before: Option<(Timestamp, Uuid)>,
        limit: u32,
    ) -> Result<Vec<Listed>, StoreError> {
        let (time, id) = before.map_or((i64::MAX, String::new()), |(at, id)| (at.as_millisecond(), id.to_string()));
        let query = self.query(
            "SELECT incident.id, generation, incident.state, opened_at, updated_at, resolved_at, began_at, over_at,
                    deliveries, alertname,
                    severity, COALESCE(gravest, severity) AS gravest, namespace, firing, verdict, headline,
                    investigation.state AS investigation,
                    (SELECT COUNT(*) FROM outbox WHERE incident_id = incident.id AND outbox.state = 'dead') AS undelivered
             FROM incident LEFT JOIN investigation ON investigation.incident_id = incident.id
             WHERE (opened_at, incident.id) < ($1, $2) AND ($3 = 'any' OR incident.state = $3)
               AND ($4 = '' OR COALESCE(gravest, severity) = $4) AND ($5 = '' OR namespace = $5)
               AND ($6 = '' OR LOWER(alertname) LIKE $6 ESCAPE '\\')
             ORDER BY opened_at DESC, incident.id DESC LIMIT $7",
        );
        let query = query.bind(time).bind(id).bind(narrowed.state.map_or("any", IncidentState::word));
        let query = narrowed.bound(query).bind(i64::from(limit));
        self.rows("list incidents", query).await?.iter().map(listed_of).collect()
    }

    /// How many incidents of each state there are among those narrowed down to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incidents_by_state(&self, narrowed: &Narrowed) -> Result<ByState, StoreError> {
        let query = self.query(
            "SELECT state, COUNT(*) AS n FROM incident
             WHERE ($1 = '' OR COALESCE(gravest, severity) = $1) AND ($2 = '' OR namespace = $2)
               AND ($3 = '' OR LOWER(alertname) LIKE $3 ESCAPE '\\')
             GROUP BY state",
        );
        let mut counts = ByState::default();
        for row in self.rows("count incidents", narrowed.bound(query)).await? {
            let row = Columns(&row);
            match row.word("state")? {
                IncidentState::Open => counts.open = row.count("n")?,
                IncidentState::Resolved => counts.resolved = row.count("n")?,
            }
        }
        Ok(counts)
    }

    /// What incidents can be narrowed down to, at most 100 of each.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incident_choices(&self) -> Result<Choices, StoreError> {
        let severities = "SELECT COALESCE(gravest, severity) AS word FROM incident
                          WHERE COALESCE(gravest, severity) <> ''
                          GROUP BY COALESCE(gravest, severity) ORDER BY COUNT(*) DESC, word LIMIT $1";
        let namespaces = "SELECT namespace AS word FROM incident WHERE namespace <> ''
                          GROUP BY namespace ORDER BY COUNT(*) DESC, namespace LIMIT $1";
        let alerts = "SELECT alertname AS word FROM incident
                      GROUP BY alertname ORDER BY COUNT(*) DESC, alertname LIMIT $1";
        Ok(Choices {
            severities: self.words(severities).await?,
            namespaces: self.words(namespaces).await?,
            alerts: self.words(alerts).await?,
        })
    }

    async fn words(&self, text: &'static str) -> Result<Vec<String>, StoreError> {
        let rows = self.rows("list what there is to choose from", self.query(text).bind(OFFERED)).await?;
        rows.iter().map(|row| Columns(row).text("word")).collect()
    }
}

impl Narrowed {
    fn bound<'q>(&self, query: Query<'q>) -> Query<'q> {
        let alert = self.alert.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let alert = if alert.is_empty() { alert } else { format!("%{alert}%") };
        query.bind(self.severity.clone()).bind(self.namespace.clone()).bind(alert)
    }
}

fn listed_of(row: &AnyRow) -> Result<Listed, StoreError> {
    let columns = Columns(row);
    Ok(Listed {
        incident: summary_of(row)?,
        investigation: columns.optional_text("investigation")?.map(|_| columns.word("investigation")).transpose()?,
        undelivered: columns.count("undelivered")?,
    })
}

fn pulse_of(row: &AnyRow) -> Result<Pulse, StoreError> {
    let row = Columns(row);
    let investigation = row.optional_text("investigation")?;
    let goes_on = matches!(investigation.as_deref(), Some("ready" | "running"));
    let (messages, over) = (row.count("messages")?, row.count("over")?);
    let version = format!(
        "{}-{}-{}-{}-{}-{messages}-{over}",
        row.text("state")?,
        row.time("updated_at")?.as_millisecond(),
        investigation.as_deref().unwrap_or("none"),
        row.get::<Option<i64>>("attempt")?.unwrap_or_default(),
        row.count("looked")?,
    );
    Ok(Pulse {
        version,
        investigating_since: row.optional_time("asked_at")?.filter(|_| goes_on),
        unsent: over < messages,
    })
}

pub(super) fn summary_of(row: &AnyRow) -> Result<IncidentSummary, StoreError> {
    let row = Columns(row);
    let (opened_at, resolved_at) = (row.time("opened_at")?, row.optional_time("resolved_at")?);
    Ok(IncidentSummary {
        id: row.id("id")?,
        generation: row.get("generation")?,
        state: row.word("state")?,
        opened_at,
        updated_at: row.time("updated_at")?,
        resolved_at,
        began_at: row.optional_time("began_at")?.unwrap_or(opened_at),
        ended_at: row.optional_time("over_at")?.or(resolved_at),
        deliveries: row.count("deliveries")?,
        alertname: row.text("alertname")?,
        severity: row.text("severity")?,
        gravest: row.text("gravest")?,
        namespace: row.text("namespace")?,
        firing: row.count("firing")?,
        verdict: row.optional_text("verdict")?.map(|_| row.word("verdict")).transpose()?,
        headline: row.optional_text("headline")?,
    })
}
