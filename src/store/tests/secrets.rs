//! Keys that replicas share: whoever is first makes it.

use secrecy::ExposeSecret;

use super::fixtures::*;

#[tokio::test]
async fn the_first_offered_key_is_everybodys() {
    on_every_engine(async |store| {
        let offers = ["one", "two", "three"].map(|offered| {
            let store = store.clone();
            async move { store.shared_secret("links", &offered.into()).await.unwrap().expose_secret().to_owned() }
        });
        let found = futures::future::join_all(offers).await;
        assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
        let other = store.shared_secret("other", &"four".into()).await.unwrap();
        assert_eq!(other.expose_secret(), "four", "each name has its own");
    })
    .await;
}
