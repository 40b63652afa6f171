//! What callers read of a request that is not theirs to make, cannot be read, or comes when they have their share.

use linkgate_contract::{ErrorCode, Problem, Text};
use linkgate_store_core::budget::Exhausted;

use crate::http::auth::AuthError;
use crate::http::body::BodyError;
use crate::http::shares::{Kind, TooMany, Whose};

impl From<&AuthError> for Problem {
    fn from(error: &AuthError) -> Self {
        let text = match error {
            AuthError::App | AuthError::User | AuthError::Uncovered { .. } | AuthError::NoListing { .. } => {
                return Self::new(ErrorCode::PermissionDenied);
            }
            AuthError::Missing => return Self::new(ErrorCode::NotAuthenticated),
            AuthError::Expired => Text::fixed("身份认证信息已过期", "The authentication has expired"),
            _ => Text::fixed("身份认证信息无效", "The authentication is invalid"),
        };
        Self::with_detail(ErrorCode::NotAuthenticated, text)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let text = match error {
            BodyError::TooLarge => return Self::new(ErrorCode::BodyTooLarge),
            BodyError::TooMany(_) => return Self::new(ErrorCode::TooManyRequests),
            BodyError::TooSlow => Text::fixed("读取请求体超时", "The request body did not arrive in time"),
            BodyError::Broken => Text::fixed("请求体不完整", "The request body is incomplete"),
        };
        Self::with_detail(ErrorCode::ParseError, text)
    }
}

impl From<TooMany> for Problem {
    fn from(TooMany { kind, whose, bound }: TooMany) -> Self {
        let text = match (whose, kind) {
            (Whose::Everybody, _) => return Self::new(ErrorCode::TooManyRequests),
            (Whose::Caller, Kind::Waiter) => Text::made(
                format!("等待上传结束的请求已达到单个调用方的上限（{bound} 个），请稍后重试"),
                format!(
                    "As many of your requests wait for uploads as one caller may have ({bound}), try again when some have ended"
                ),
            ),
            (Whose::Caller, Kind::Watcher) => Text::made(
                format!("事件流已达到单个调用方的上限（{bound} 个），请先关闭一部分"),
                format!("As many of your event streams are open as one caller may have ({bound}), close some first"),
            ),
            (Whose::Caller | Whose::Upload, Kind::Download) => Text::made(
                format!("正在进行的下载已达到单个调用方的上限（{bound} 个），请在部分下载结束后重试"),
                format!(
                    "As many of your downloads run as one caller may have ({bound}), try again when some have ended"
                ),
            ),
            (Whose::Upload, Kind::Waiter) => Text::made(
                format!("等待该上传的请求已达到上限（{bound} 个），请稍后重试"),
                format!("As many requests wait for this upload as may ({bound}), try again in a moment"),
            ),
            (Whose::Upload, Kind::Watcher) => Text::made(
                format!("该上传的事件流已达到上限（{bound} 个），请改为轮询"),
                format!("As many event streams of this upload are open as may be ({bound}), ask for it without events"),
            ),
        };
        Self::with_detail(ErrorCode::TooManyRequests, text)
    }
}

/// As many pages are sent as may be.
pub(in crate::http) fn too_many_pages(exhausted: Exhausted) -> Problem {
    used_up(exhausted, ErrorCode::TooManyRequests, |_| {
        Text::fixed(
            "正在读取的列表已达到单个调用方的上限，请稍后重试",
            "You read as many pages at a time as one caller may, try again when some have come",
        )
    })
}

/// What is used up in sum is nobody's own affair. A caller that holds its own share is told so: it is the one who can do something
/// about it.
pub(super) fn used_up(exhausted: Exhausted, code: ErrorCode, own_share: impl FnOnce(usize) -> Text) -> Problem {
    match exhausted {
        Exhausted::Sum { .. } => Problem::new(code),
        Exhausted::Owner { bound } => Problem::with_detail(code, own_share(bound)),
    }
}
