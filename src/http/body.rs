//! Bodies: read whole up to the limit; what is larger is read on for a while and thrown away, so that its sender hears why
//! instead of a broken connection.

use axum::body::{Body, Bytes};
use futures::TryStreamExt;

use super::error::ApiError;

/// So many times the limit are read before a sender is cut off in the middle of its sentence.
const PATIENCE: usize = 4;

/// The whole body, at most `limit` bytes of it.
///
/// # Errors
/// When it is larger, or breaks off.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut kept = Vec::new();
    let mut length = 0_usize;
    while let Some(chunk) = stream.try_next().await.map_err(|_| broken())? {
        length = length.saturating_add(chunk.len());
        if length > limit.saturating_mul(PATIENCE) {
            break;
        }
        if length <= limit {
            kept.extend_from_slice(&chunk);
        } else {
            kept = Vec::new();
        }
    }
    if length > limit { Err(too_large(limit)) } else { Ok(kept.into()) }
}

fn broken() -> ApiError {
    ApiError::bad_request("the request body could not be read to its end")
}

fn too_large(limit: usize) -> ApiError {
    ApiError::too_large(format!(
        "the body is larger than {limit} bytes; set max_alerts in Alertmanager's webhook_config, or raise \
         server.limits.max_body_bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use futures::stream;

    async fn status(chunks: &[usize], limit: usize) -> u16 {
        let chunks: Vec<_> =
            chunks.iter().map(|length| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; *length]))).collect();
        match read(Body::from_stream(stream::iter(chunks)), limit).await {
            Ok(body) => body.len().try_into().unwrap(),
            Err(error) => error.into_response().status().as_u16(),
        }
    }

    #[tokio::test]
    async fn the_limit_itself_is_taken_and_one_byte_more_is_not() {
        assert_eq!(status(&[4, 6], 10).await, 10);
        assert_eq!(status(&[4, 6, 1], 10).await, 413);
        assert_eq!(status(&[11], 10).await, 413);
        assert_eq!(status(&[], 10).await, 0);
    }

    #[tokio::test]
    async fn patience_ends() {
        let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b"0123456789")));
        let error = read(Body::from_stream(endless), 10).await.unwrap_err();
        assert_eq!(error.into_response().status(), 413);
    }

    #[tokio::test]
    async fn what_breaks_off_is_not_taken() {
        let chunks = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))];
        let error = read(Body::from_stream(stream::iter(chunks)), 10).await.unwrap_err();
        assert_eq!(error.into_response().status(), 400);
    }
}
