//! What callers read of a source that does not give the package.

use linkgate_contract::{ErrorCode, Problem, Text};
use linkgate_store_core::ingest::ports::{CredentialError, SentCredential, SourceError, Unreachable};

/// What callers read of a source, which docs/reference/REASONS.md lists:
///
/// - `the host name could not be resolved`: no name server knows the host, or none answered.
/// - `the source refused the connection`, `no connection to the source came about`: nothing listens there, or nothing
///   leads there.
/// - `the certificate of the source has expired or is not valid yet`: the store does not believe the certificate.
/// - `the certificate of the source is for another host name`: likewise.
/// - `the certificate of the source is from an unknown issuer`: likewise.
/// - `the certificate of the source is not valid`: likewise.
/// - `the TLS handshake with the source failed`: the source speaks no TLS, or none that the store speaks.
/// - `the source asks for a client certificate, and the operator has set up none for its host`: sources may ask who the
///   store is. Ask the operator.
/// - `the source does not accept the client certificate of the store`: the same.
/// - `the answer of the source is no valid HTTP`: something else listens there, or the head is broken or too large,
///   or over 16 interim answers (1xx) precede it.
/// - `the answer of the source broke off`: the connection ended before the head or the body did.
/// - `the proxy of the operator could not be connected to`: it is down, or speaks no HTTP. This and the next two only
///   where the operator has a proxy on the way out.
/// - `the proxy of the operator does not let the store through to the source`: it refused, or did not take the
///   store's credentials. Ask the operator.
/// - `the proxy of the operator could not reach the source`: nothing leads from it to the source.
/// - `the source answered …`: a status other than 200.
/// - `the source refused the credential …`: 401 or 403 to a credential of the operator's.
/// - `the source refused the credential of X-Linkgate-Source-Authorization (…)`: the same of your own.
/// - `the policy names the credential …`: the operator set up one of the two places only.
/// - `the source answered with an HTML page instead of a package, such as a login or an error page`: bytes that open
///   an HTML document; or markup that the source itself calls `text/html`. The store takes a package that the source
///   only calls so.
/// - `the file changed while it was being read`: each attempt met another version of the file.
/// - `the source did not say how long the file is, so it may be cut off; give its sha256 or its size`: a body without
///   a length that ended with its connection, and no archive, which would tell whether it is whole.
/// - `the source answered with a content encoding`: an encoded body (`gzip`, `br`, `zstd` and the like), although the
///   store asked for none. A `Content-Encoding` that names no coding (`identity`, `aws-chunked`, `UTF-8`, nothing) is
///   ignored.
/// - `it redirects more than … times`: the sixth redirect.
/// - `it redirects from https to http`: a downgrade.
/// - `it redirects to something that is no valid link`: a target that would be refused as `package_url`, too.
pub(super) fn source_problem(error: &SourceError) -> Problem {
    match error {
        SourceError::ForbiddenAddress { .. } => {
            Problem::field("package_url", Text::fixed("不允许从该主机下载。", "The host may not be fetched from."))
        }
        SourceError::RedirectNotAllowed { host } => Problem::field(
            "package_url",
            Text::made(
                format!("下载地址被重定向到主机 '{host}'，该主机不在允许的白名单中。"),
                format!("The link redirects to host '{host}', which is not in the allow-list."),
            ),
        ),
        SourceError::SizeMismatch { expected, found } => size_mismatch(*expected, *found),
        SourceError::TooLarge { limit_bytes } => too_large(ErrorCode::PackageTooLarge, *limit_bytes),
        SourceError::TooSlow { min_rate, over } => Problem::with_detail(
            ErrorCode::SourceTimeout,
            Text::made(
                format!("源站传输过慢：{} 秒内平均每秒不足 {min_rate} 字节", over.as_secs()),
                format!("The source is too slow: under {min_rate} bytes per second for {} seconds", over.as_secs()),
            ),
        ),
        SourceError::TimedOut { .. } => Problem::new(ErrorCode::SourceTimeout),
        SourceError::Transport { reason, .. } => unreachable_problem(*reason),
        SourceError::RedirectInvalid(_) => {
            unreadable("重定向到无效的地址", "it redirects to something that is no valid link")
        }
        SourceError::RedirectDowngrade => unreadable("从 https 重定向到 http", "it redirects from https to http"),
        SourceError::TooManyRedirects { limit } => {
            unreadable(&format!("重定向超过 {limit} 次"), &format!("it redirects more than {limit} times"))
        }
        SourceError::Status { status } => {
            unreadable(&format!("源站返回 {status}"), &format!("the source answered {status}"))
        }
        SourceError::Credential(error) => credential_problem(error),
        SourceError::Encoded => unreadable("源站返回了压缩编码的内容", "the source answered with a content encoding"),
        SourceError::Page => unreadable(
            "源站返回的是 HTML 页面，而不是源码包（可能是登录页或错误页）",
            "the source answered with an HTML page instead of a package, such as a login or an error page",
        ),
        SourceError::NoEnd => unreadable(
            "源站没有给出文件长度，无法确认文件是否完整；请提供 sha256 或 size",
            "the source did not say how long the file is, so it may be cut off; give its sha256 or its size",
        ),
        SourceError::Changed => unreadable("文件在下载过程中发生变化", "the file changed while it was being read"),
    }
}

fn credential_problem(error: &CredentialError) -> Problem {
    match error {
        CredentialError::Refused { whose: SentCredential::Named(name), status } => unreadable(
            &format!("源站拒绝了凭证 {name}（{status}），请联系管理员"),
            &format!("the source refused the credential `{name}` ({status}); ask the operator"),
        ),
        CredentialError::Refused { whose: SentCredential::CallersOwn, status } => unreadable(
            &format!("源站拒绝了 X-Linkgate-Source-Authorization 中的凭证（{status}）"),
            &format!("the source refused the credential of X-Linkgate-Source-Authorization ({status})"),
        ),
        CredentialError::Unknown { name } => unreadable(
            &format!("服务没有访问策略指定的凭证 {name}，请联系管理员"),
            &format!("the policy names the credential `{name}`, which the store does not have; ask the operator"),
        ),
        CredentialError::OverHttp => Problem::field(
            "package_url",
            Text::fixed(
                "访问该地址需要凭证，而凭证只通过 https 发送；请提供 https 地址。",
                "A credential goes with this link, and it is sent over https only; give an https link.",
            ),
        ),
    }
}

fn unreachable_problem(reason: Unreachable) -> Problem {
    let (zh, en) = match reason {
        Unreachable::UnknownName => ("主机名无法解析", "the host name could not be resolved"),
        Unreachable::ConnectionRefused => ("源站拒绝连接", "the source refused the connection"),
        Unreachable::NoConnection => ("无法与源站建立连接", "no connection to the source came about"),
        Unreachable::CertificateTime => {
            ("源站的证书已过期或尚未生效", "the certificate of the source has expired or is not valid yet")
        }
        Unreachable::CertificateName => {
            ("源站的证书不是签发给该主机名的", "the certificate of the source is for another host name")
        }
        Unreachable::CertificateIssuer => {
            ("源站的证书由未知机构签发", "the certificate of the source is from an unknown issuer")
        }
        Unreachable::Certificate => ("源站的证书无效", "the certificate of the source is not valid"),
        Unreachable::Tls => ("与源站的 TLS 握手失败", "the TLS handshake with the source failed"),
        Unreachable::ClientCertificateMissing => (
            "源站要求客户端证书，而运营方没有为该主机配置",
            "the source asks for a client certificate, and the operator has set up none for its host",
        ),
        Unreachable::ClientCertificateRefused => {
            ("源站不接受客户端证书", "the source does not accept the client certificate of the store")
        }
        Unreachable::NotHttp => ("源站的响应不是有效的 HTTP", "the answer of the source is no valid HTTP"),
        Unreachable::BrokeOff => ("源站中断了传输", "the answer of the source broke off"),
        Unreachable::ProxyUnreachable => {
            ("无法连接运营方的代理", "the proxy of the operator could not be connected to")
        }
        Unreachable::ProxyRefused => {
            ("运营方的代理不允许访问该源站", "the proxy of the operator does not let the store through to the source")
        }
        Unreachable::ProxyCannotReach => {
            ("运营方的代理无法连接源站", "the proxy of the operator could not reach the source")
        }
    };
    unreadable(zh, en)
}

fn unreadable(zh: &str, en: &str) -> Problem {
    let text = Text::made(format!("无法读取源码包下载地址：{zh}"), format!("The package_url could not be read: {en}"));
    Problem::with_detail(ErrorCode::SourceUnreachable, text)
}

pub(super) fn too_large(code: ErrorCode, limit_bytes: u64) -> Problem {
    Problem::with_detail(
        code,
        Text::made(
            format!("源码包过大，上限为 {limit_bytes} 字节"),
            format!("The package is too large, the limit is {limit_bytes} bytes"),
        ),
    )
}

pub(super) fn size_mismatch(expected: u64, found: Option<u64>) -> Problem {
    Problem::with_detail(
        ErrorCode::SizeMismatch,
        Text::made(
            format!("源码包的大小不一致：应为 {expected} 字节，实际为 {}", or_more(found, "更多")),
            format!("The package has another size: expected {expected} bytes, got {}", or_more(found, "more")),
        ),
    )
}

fn or_more(bytes: Option<u64>, more: &str) -> String {
    bytes.map_or_else(|| more.to_owned(), |bytes| bytes.to_string())
}
