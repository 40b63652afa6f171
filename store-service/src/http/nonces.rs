//! Signed requests that may change something: each serves once, also where several gates stand before the store.
//!
//! Promises: of requests with one nonce exactly one is answered; all others are refused as the gate refuses them, in its words and
//! in its form, so that callers need not know who has found out.

use linkgate_contract::{ErrorCode, GatewayErrorRow, InvalidArgs, Problem, SignedNonce, Text, headers};
use linkgate_store_core::budget::{Exhausted, Owner};
use linkgate_store_core::ingest::chain;
use linkgate_store_core::ingest::ports::{NonceError, UsedNonces};
use tracing::error;
use warp::http::HeaderValue;

use super::reply::{self, Reply};

/// Uses the nonce up; the refusal if it does not serve.
pub(super) async fn use_nonce(
    nonces: &impl UsedNonces,
    owner: &Owner,
    nonce: SignedNonce,
) -> Result<Option<Reply>, Problem> {
    match nonces.use_nonce(owner, nonce).await {
        Ok(()) => Ok(None),
        Err(NonceError::Used) => Ok(Some(refuse(SignedNonce::USED))),
        Err(NonceError::Expired) => Ok(Some(refuse(SignedNonce::EXPIRED))),
        Err(NonceError::Full(exhausted)) => Err(too_many(exhausted)),
        Err(failed @ NonceError::Database(_)) => {
            error!(error = chain(&failed), "Cannot record a used nonce; the request is refused");
            Err(Problem::new(ErrorCode::Internal))
        }
    }
}

fn refuse(InvalidArgs(reason): InvalidArgs) -> Reply {
    let row = GatewayErrorRow::NOT_AUTHENTICATED;
    let message = row.message(Some(reason));
    let mut reply = reply::with_status(row.status, row.body(&message, true));
    let own = [
        (headers::CONTENT_TYPE, GatewayErrorRow::CONTENT_TYPE.to_owned()),
        (headers::GATEWAY_ERROR_CODE, row.code.to_string()),
        (headers::GATEWAY_ERROR_MESSAGE, message),
    ];
    for (name, value) in own {
        if let Ok(value) = HeaderValue::from_str(&value) {
            reply.headers_mut().insert(name, value);
        }
    }
    reply
}

fn too_many(exhausted: Exhausted) -> Problem {
    let text = match exhausted {
        Exhausted::Sum { bound } => Text::made(
            format!("服务记录的已签名请求已达到上限（{bound} 个），请几分钟后重试"),
            format!("As many signed requests are remembered as may be ({bound}), try again in some minutes"),
        ),
        Exhausted::Owner { bound } => Text::made(
            format!("服务记录的已签名请求已达到单个调用方的上限（{bound} 个），请几分钟后重试"),
            format!(
                "As many of your signed requests are remembered as one caller may have ({bound}), try again in some minutes"
            ),
        ),
    };
    Problem::with_detail(ErrorCode::TooManyRequests, text)
}
