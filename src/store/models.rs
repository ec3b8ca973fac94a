//! What is kept about models: what each used up on a day, and what was found out about it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::any::AnyRow;

use super::columns::{Columns, storable};
use super::{Store, StoreError};

pub(super) const READ_CAPABILITIES: &str = "SELECT json FROM capability WHERE model_key = $1";
pub(super) const KEEP_CAPABILITIES: &str = "INSERT INTO capability (model_key, probed_at, json) VALUES ($1, $2, $3)
     ON CONFLICT (model_key) DO UPDATE SET probed_at = excluded.probed_at, json = excluded.json";

/// Tokens and money of one model on one day.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spending {
    /// Tokens of questions.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Money, in the currency of the model's prices; zero where they are not known.
    pub cost: f64,
}

impl Spending {
    /// Both kinds of tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// This and more.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(more.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(more.completion_tokens),
            cost: self.cost + more.cost,
        }
    }
}

impl Store {
    /// Adds to what models used up on a day: all of it or nothing. Replicas add up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_spending(&self, day: Date, more: &BTreeMap<String, Spending>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        // In the order of names, so that two replicas never wait for each other's rows.
        for (model, spent) in more {
            let query = tx
                .query(
                    "INSERT INTO spending (day, model, prompt_tokens, completion_tokens, cost)
                     VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (day, model) DO UPDATE SET
                         prompt_tokens = spending.prompt_tokens + excluded.prompt_tokens,
                         completion_tokens = spending.completion_tokens + excluded.completion_tokens,
                         cost = spending.cost + excluded.cost",
                )
                .bind(day.to_string())
                .bind(storable(model).into_owned())
                .bind(i64::try_from(spent.prompt_tokens).unwrap_or(i64::MAX))
                .bind(i64::try_from(spent.completion_tokens).unwrap_or(i64::MAX))
                .bind(spent.cost);
            tx.write("add to a day's spending", query).await?;
        }
        tx.commit().await
    }

    /// What each model used up on a day, by all replicas together; models that were not asked are missing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn spending(&self, day: Date) -> Result<BTreeMap<String, Spending>, StoreError> {
        let query = self
            .query("SELECT model, prompt_tokens, completion_tokens, cost FROM spending WHERE day = $1")
            .bind(day.to_string());
        self.rows("read a day's spending", query).await?.iter().map(spending_of).collect()
    }

    /// What was found out about a model; `key` stands for its address, name and profile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn capabilities(&self, key: &str) -> Result<Option<String>, StoreError> {
        let query = self.query(READ_CAPABILITIES).bind(key.to_owned());
        let row = self.row("read what a model can do", query).await?;
        row.map(|row| Columns(&row).text("json")).transpose()
    }

    /// Keeps what was found out about a model, in place of what was known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_capabilities(&self, key: &str, json: &str, at: Timestamp) -> Result<(), StoreError> {
        let query = self
            .query(KEEP_CAPABILITIES)
            .bind(key.to_owned())
            .bind(at.as_millisecond())
            .bind(storable(json).into_owned());
        self.write("keep what a model can do", query).await.map(drop)
    }
}

fn spending_of(row: &AnyRow) -> Result<(String, Spending), StoreError> {
    let row = Columns(row);
    let spending = Spending {
        prompt_tokens: row.count("prompt_tokens")?,
        completion_tokens: row.count("completion_tokens")?,
        cost: row.get("cost")?,
    };
    Ok((row.text("model")?, spending))
}
