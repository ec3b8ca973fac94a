//! What is kept about models: replicas add up, days stay apart, what is found out anew replaces the old.

use std::collections::BTreeMap;

use jiff::civil::date;

use super::fixtures::*;
use crate::store::Spending;

fn spent(models: &[&str], tokens: u64, cost: f64) -> BTreeMap<String, Spending> {
    let spending = Spending { prompt_tokens: tokens, completion_tokens: tokens / 10, cost };
    models.iter().map(|model| ((*model).to_owned(), spending)).collect()
}

#[tokio::test]
async fn spending_of_all_replicas_adds_up_by_day_and_model() {
    on_every_engine(async |store| {
        let (today, yesterday) = (date(2026, 11, 25), date(2026, 11, 24));
        let (both, one) = (spent(&["快", "slow"], 1000, 0.25), spent(&["slow"], 500, 1.0));
        let adds = [store.add_spending(today, &both), store.add_spending(today, &one)];
        for done in futures::future::join_all(adds).await {
            done.unwrap();
        }
        store.add_spending(yesterday, &both).await.unwrap();
        store.add_spending(today, &BTreeMap::new()).await.unwrap();

        let total = store.spending(today).await.unwrap();
        assert_eq!(total["slow"], Spending { prompt_tokens: 1500, completion_tokens: 150, cost: 1.25 });
        assert_eq!(total["快"], both["快"]);
        assert_eq!(store.spending(yesterday).await.unwrap(), both);
        assert!(store.spending(date(2026, 11, 26)).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn twenty_replicas_that_add_at_once_lose_nothing() {
    on_every_engine(async |store| {
        let (day, models) = (date(2026, 11, 25), spent(&["a", "b", "c"], 10, 0.5));
        let adds = (0..20).map(|_| store.add_spending(day, &models));
        for done in futures::future::join_all(adds).await {
            done.unwrap();
        }
        let total = store.spending(day).await.unwrap();
        assert!(total.values().all(|spent| (spent.tokens(), spent.cost) == (220, 10.0)), "{total:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_found_out_anew_replaces_what_was_known() {
    on_every_engine(async |store| {
        assert_eq!(store.capabilities("k").await.unwrap(), None);
        store.put_capabilities("k", r#"{"tools":true}"#, at(0)).await.unwrap();
        store.put_capabilities("other", "{}", at(0)).await.unwrap();
        store.put_capabilities("k", r#"{"tools":false}"#, at(9)).await.unwrap();
        assert_eq!(store.capabilities("k").await.unwrap().as_deref(), Some(r#"{"tools":false}"#));
    })
    .await;
}
