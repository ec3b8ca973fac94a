//! Evidence kept with its incident, so that a person can check a diagnosis long after the objects are gone.

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::columns::{Columns, signed, storable, to_json};
use super::{Store, StoreError, Tx};
use crate::toolbox::evidence::Evidence;

/// Pieces kept by one statement. An investigation leaves about twenty; a statement of its own for each would be twenty
/// round trips to the database. Eight parameters each stay far below what SQLite (32,766) and PostgreSQL (65,535) take.
const AT_ONCE: usize = 100;

impl Tx<'_> {
    /// Forgets what an earlier investigation of the incident read: its report is replaced as well.
    pub(super) async fn drop_evidence(&mut self, incident: Uuid) -> Result<(), StoreError> {
        let query = self.query("DELETE FROM evidence WHERE incident_id = $1").bind(incident.to_string());
        self.write("forget evidence", query).await.map(drop)
    }

    pub(super) async fn keep_evidence(&mut self, incident: Uuid, evidence: &[Evidence]) -> Result<(), StoreError> {
        for (part, pieces) in evidence.chunks(AT_ONCE).enumerate() {
            // A text for every number of pieces is not worth a place among the prepared statements.
            let mut query = sqlx::query(AssertSqlSafe(insertion(pieces.len()))).persistent(false);
            for (index, piece) in pieces.iter().enumerate() {
                query = query
                    .bind(incident.to_string())
                    .bind(signed(part * AT_ONCE + index))
                    .bind(storable(&piece.reference).into_owned())
                    .bind(storable(&piece.tool).into_owned())
                    .bind(to_json("the arguments of a tool call", &piece.arguments)?)
                    .bind(storable(&piece.text).into_owned())
                    .bind((piece.full != piece.text).then(|| storable(&piece.full).into_owned()))
                    .bind(piece.taken_at.as_millisecond());
            }
            self.write("keep evidence", query).await?;
        }
        Ok(())
    }
}

/// The statement that keeps so many pieces, its parameters counted through.
fn insertion(pieces: usize) -> String {
    let row = |index: usize| {
        let first = index * 8 + 1;
        let parameters: Vec<String> = (first..first + 8).map(|number| format!("${number}")).collect();
        format!("({})", parameters.join(", "))
    };
    let rows: Vec<String> = (0..pieces).map(row).collect();
    format!(
        "INSERT INTO evidence (incident_id, ordinal, reference, tool, arguments, text, full_text, taken_at) VALUES {}",
        rows.join(", ")
    )
}

impl Store {
    /// The recorded tool results of an incident, in the order they were taken; none when there are none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn evidence(&self, incident: Uuid) -> Result<Vec<Evidence>, StoreError> {
        let query = self
            .query(
                "SELECT reference, tool, arguments, text, full_text, taken_at FROM evidence
                 WHERE incident_id = $1 ORDER BY ordinal",
            )
            .bind(incident.to_string());
        self.rows("read evidence", query).await?.iter().map(evidence_of).collect()
    }
}

fn evidence_of(row: &AnyRow) -> Result<Evidence, StoreError> {
    let row = Columns(row);
    let text = row.text("text")?;
    Ok(Evidence {
        reference: row.text("reference")?,
        tool: row.text("tool")?,
        arguments: row.json("arguments")?,
        full: row.optional_text("full_text")?.unwrap_or_else(|| text.clone()),
        text,
        taken_at: row.time("taken_at")?,
    })
}
