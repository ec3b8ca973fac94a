//! Callbacks over HTTP: only what the platform encrypted and signed just now is taken, and only once.

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{OPERATOR, with_buttons};
use crate::support::alerts::{PENDING, webhook};
use crate::support::feishu_app::FeishuApp;
use crate::support::feishu_ws::{press, verdict};
use crate::support::service::{Home, Service, client};

const KEY: &str = "encrypt-key-of-the-app";

fn encrypted(key: &str, plain: &Value) -> String {
    let text = plain.to_string().into_bytes();
    let vector = [7_u8; 16];
    let mut buffer = vec![0; text.len() + 16];
    buffer[..text.len()].copy_from_slice(&text);
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&Sha256::digest(key), &vector).unwrap();
    let secret = cipher.encrypt_padded::<Pkcs7>(&mut buffer, text.len()).unwrap();
    json!({"encrypt": STANDARD.encode([&vector[..], secret].concat())}).to_string()
}

/// Posts a callback, signed with a key at a time.
async fn post(service: &Service, body: String, key: &str, at: i64) -> (u16, Value) {
    let digest = Sha256::digest(format!("{at}nonce{key}{body}"));
    let signature: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = client()
        .post(format!("{}/callbacks/feishu/oncall", service.base()))
        .header("x-lark-request-timestamp", at.to_string())
        .header("x-lark-request-nonce", "nonce")
        .header("x-lark-signature", signature);
    let answer = request.body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A43: forged, replayed and foreign callbacks change nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a43_a_callback_is_taken_when_it_is_the_platform_s_own_and_refused_otherwise() {
    let app = FeishuApp::start().await;
    let mut parts = with_buttons(&app, json!([]));
    for (key, value) in [("callbacks", "http"), ("encrypt_key", KEY), ("verification_token", "verification-token")] {
        parts["channels"][0][key] = value.into();
    }
    let home = Home::new(&parts);
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    service.settled(&id, 40).await;
    let card = app.cards().pop().unwrap().id;
    let now = Timestamp::now().as_second();

    let asked =
        |token: &str| encrypted(KEY, &json!({"challenge": "c0ffee", "token": token, "type": "url_verification"}));
    let plain = client().post(format!("{}/callbacks/feishu/oncall", service.base())).body(asked("verification-token"));
    let answer: Value = plain.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer, json!({"challenge": "c0ffee"}), "the question when the address is saved comes unsigned");
    assert_eq!(post(&service, asked("wrong"), KEY, now).await.0, 401);

    let event = |id: &str| press(id, &card, OPERATOR, &verdict("useful", "fine"));
    let body = encrypted(KEY, &event("e1"));
    let (status, answer) = post(&service, body.clone(), KEY, now).await;
    assert_eq!((status, &answer["toast"]["type"]), (200, &json!("success")), "{answer}");
    assert_eq!(post(&service, body.clone(), KEY, now).await.1, answer, "a replay changes nothing");

    let mut foreign = event("e2");
    foreign["header"]["app_id"] = "cli_another".into();
    let mut forged = event("e3");
    forged["header"]["token"] = "guessed".into();
    let refused = [
        ("signed with another key", encrypted(KEY, &event("e4")), "another key", now),
        ("encrypted with another key", encrypted("another key", &event("e5")), KEY, now),
        ("old", encrypted(KEY, &event("e6")), KEY, now - 3_600),
        ("from the future", encrypted(KEY, &event("e7")), KEY, now + 3_600),
        ("not encrypted", event("e8").to_string(), KEY, now),
        ("of another app", encrypted(KEY, &foreign), KEY, now),
        ("with a wrong token", encrypted(KEY, &forged), KEY, now),
        ("no JSON", "<xml/>".to_owned(), KEY, now),
    ];
    for (what, body, key, at) in refused {
        assert_eq!(post(&service, body, key, at).await.0, 401, "{what}");
    }
    let kept = service.incident(&id).await["presses"].as_array().unwrap().len();
    assert_eq!(kept, 1, "one press was the platform's own");
    let elsewhere =
        client().post(format!("{}/callbacks/feishu/nobody", service.base())).body(body).send().await.unwrap();
    assert_eq!(elsewhere.status().as_u16(), 404);
    assert_eq!(app.socket.asked(), 0, "no connection is dialled");
}
