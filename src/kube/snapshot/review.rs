//! "May I?": reviews, the only thing a snapshot lets clients post.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::kinds::Kind;
use super::status::Refusal;

/// How Go clients open a body in Kubernetes' protobuf envelope.
const PROTOBUF: &[u8] = b"k8s\0";

/// Answers a review: the identity may read everything but Secrets.
pub(super) fn answer(kind: &Kind, body: &[u8]) -> Result<Response, Refusal> {
    let mut review = decode(kind, body)?;
    review["status"] = match &*kind.kind {
        "SelfSubjectRulesReview" => json!({
            "incomplete": false, "nonResourceRules": [],
            "resourceRules": [{"verbs": ["get", "list", "watch"], "apiGroups": ["*"], "resources": ["*"]}],
        }),
        "SelfSubjectReview" => json!({"userInfo": {"username": "snapshot-viewer"}}),
        "TokenReview" => json!({"authenticated": false}),
        _ => json!({"allowed": may(&review["spec"]["resourceAttributes"])}),
    };
    Ok((StatusCode::CREATED, Json(review)).into_response())
}

fn may(asked: &Value) -> bool {
    let reads = matches!(asked["verb"].as_str(), Some("get" | "list" | "watch"));
    reads && asked["resource"] != "secrets"
}

fn decode(kind: &Kind, body: &[u8]) -> Result<Value, Refusal> {
    let unrecognized = |why: String| Refusal::bad_request(format!("the object provided is unrecognized: {why}"));
    let Some(envelope) = body.strip_prefix(PROTOBUF) else {
        return match serde_json::from_slice(body) {
            Ok(review @ Value::Object(_)) => Ok(review),
            Ok(_) => Err(unrecognized("it is not an object".to_owned())),
            Err(error) => Err(unrecognized(error.to_string())),
        };
    };
    if kind.kind != "SelfSubjectAccessReview" {
        let message =
            "the body of the request was in an unsupported format - accepted media types include: application/json";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message));
    }
    let attributes = attributes(envelope).ok_or_else(|| unrecognized("it is not a whole message".to_owned()))?;
    let spec = json!({"resourceAttributes": attributes});
    Ok(json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": {}, "spec": spec}))
}

/// The resource attributes inside the envelope: its raw object is field 2, the spec in it 2, the attributes in that 1.
fn attributes(envelope: &[u8]) -> Option<Value> {
    let attributes = field(field(field(envelope, 2)?, 2)?, 1)?;
    let text = |number| field(attributes, number).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Some(json!({"namespace": text(1), "verb": text(2), "group": text(3), "resource": text(5), "name": text(7)}))
}

/// The bytes of a message's first length-delimited field of that number.
fn field(mut message: &[u8], number: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let length = match key & 7 {
            0 => {
                varint(&mut message)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = message.split_at_checked(length)?;
        if key == number << 3 | 2 {
            return Some(value);
        }
        message = rest;
    }
    None
}

/// Seven bits a byte, least significant first, until a byte without its high bit.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
        let length = |value: &[u8]| u8::try_from(value.len()).unwrap();
        fields.iter().flat_map(|(number, value)| [&[number << 3 | 2, length(value)], *value].concat()).collect()
    }

    #[test]
    fn a_go_clients_question_is_understood() {
        let attributes_sent = message(&[(1, b"web"), (2, b"list"), (5, b"pods")]);
        let review = message(&[(1, b""), (2, &message(&[(1, &attributes_sent)]))]);
        let envelope = message(&[(1, b"type"), (2, &review)]);
        let attributes = attributes(&envelope).unwrap();
        assert_eq!((&attributes["verb"], &attributes["resource"]), (&json!("list"), &json!("pods")));
        assert!(may(&attributes));
    }

    #[test]
    fn a_broken_message_is_refused() {
        assert!(attributes(&[0x12, 0x7f, 1]).is_none());
        assert!(field(&[0x80], 1).is_none());
        assert!(field(&[0x0b], 1).is_none());
    }
}
