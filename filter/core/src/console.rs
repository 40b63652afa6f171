//! The console's settings, and the pages by which the gate denies requests of people who look at it.
//!
//! Promises: what callers, services and the policy say stands in a page as text, never as markup; a page runs nothing, and loads
//! nothing but the console's own style sheet. Its links are relative, so they are right behind every prefix.

use std::fmt::Write as _;

use linkgate_contract::{Language, Text};

use crate::denied::{DenialReason, Denied};
use crate::reply::{GatewayError, Reply};

/// What stands in `login_url` for the page that one comes back to.
pub(crate) const URL_PLACE: &str = "{url}";

/// What the policy says of the console.
#[derive(Debug)]
pub(crate) struct Console {
    /// Where people sign in, perhaps with [`URL_PLACE`].
    pub(crate) login_url: String,
    /// Whom to ask for a grant.
    pub(crate) contact: Option<String>,
}

impl Console {
    /// Where people sign in to come back to this page.
    pub(crate) fn login_url(&self, page: &str) -> String {
        let encoded: String = form_urlencoded::byte_serialize(page.as_bytes()).collect();
        self.login_url.replace(URL_PLACE, &encoded)
    }
}

/// What a page needs to know of whom it is for.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    pub(crate) language: Language,
    /// Where to sign in.
    pub(crate) login_url: String,
    /// Whom to ask for a grant.
    pub(crate) contact: Option<String>,
    /// From the page to the console's first one: nothing, or `../` for each folder between.
    pub(crate) home: String,
}

/// What a page says: a title, and a paragraph for each line.
struct Notice {
    title: Text,
    lines: Vec<Text>,
    /// Whether to sign in is what helps.
    asks_to_sign_in: bool,
}

impl Notice {
    fn new(title: Text, lines: Vec<Text>) -> Self {
        Self { title, lines, asks_to_sign_in: false }
    }

    fn of(denied: &Denied, user: &str, contact: Option<&str>) -> Self {
        match &denied.reason {
            DenialReason::Request(problem) => {
                let detail = |language| problem.detail(language);
                Self::new(refused(), vec![Text::made(detail(Language::Chinese), detail(Language::English))])
            }
            DenialReason::Gateway(error) => Self::of_gateway(error, user, contact),
        }
    }

    fn of_gateway(error: &GatewayError, user: &str, contact: Option<&str>) -> Self {
        match error {
            GatewayError::NotAuthenticated { .. } => Self {
                title: Text::fixed("请登录", "Sign in"),
                lines: vec![Text::fixed(
                    "您尚未登录，或登录已过期。",
                    "You are not signed in, or your sign-in has ended.",
                )],
                asks_to_sign_in: true,
            },
            GatewayError::AppNoPermission { .. } | GatewayError::UserNotAllowed => {
                let mut lines = vec![nothing_allowed(user)];
                lines.extend(contact.map(ask));
                Self::new(Text::fixed("没有权限", "No permission"), lines)
            }
            GatewayError::ApiNotFound => {
                let line = Text::fixed("这里没有页面，请检查地址。", "There is no page here. Check the address.");
                Self::new(Text::fixed("页面不存在", "Page not found"), vec![line])
            }
            GatewayError::RateLimited { retry_after_s } | GatewayError::ConcurrencyLimited { retry_after_s } => {
                Self::new(Text::fixed("请求过多", "Too many requests"), vec![try_again_in(*retry_after_s)])
            }
            GatewayError::Unavailable { retry_after_s } => {
                Self::new(Text::fixed("服务繁忙", "The service is busy"), vec![try_again_in(*retry_after_s)])
            }
            GatewayError::Internal { .. } => {
                let line = Text::fixed(
                    "现在无法确认您的身份，请稍后重试。",
                    "Nobody can say right now who you are. Try again later.",
                );
                Self::new(Text::fixed("服务出错", "The service failed"), vec![line])
            }
            GatewayError::IpNotAllowed
            | GatewayError::CrossTenantForbidden { .. }
            | GatewayError::CrossSiteForbidden { .. }
            | GatewayError::BodyTooLarge
            | GatewayError::NotInTime
            | GatewayError::UriTooLarge => {
                let message = error.message();
                Self::new(refused(), vec![Text::made(message.clone(), message)])
            }
        }
    }
}

fn refused() -> Text {
    Text::fixed("请求被拒绝", "The request was refused")
}

fn nothing_allowed(user: &str) -> Text {
    Text::made(
        format!("您以 {user} 的身份登录，但无权查看此页面。"),
        format!("You are signed in as {user}, who may not see this page."),
    )
}

fn ask(contact: &str) -> Text {
    Text::made(format!("如需权限，请联系：{contact}"), format!("To be let in, ask {contact}"))
}

fn try_again_in(seconds: u64) -> Text {
    Text::made(format!("请在 {seconds} 秒后重试。"), format!("Try again in {seconds} s."))
}

/// Headers of a page, beside those of the denial.
const HEADERS: [(&str, &str); 5] = [
    ("content-type", "text/html; charset=utf-8"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    // What one may see depends on who is signed in.
    ("cache-control", "no-store"),
];

impl Viewer {
    /// The denial as a page, with the status and headers that it has for programs.
    pub(crate) fn show(&self, denied: &Denied, user: &str, request_id: &str, reply: Reply) -> Reply {
        let notice = Notice::of(denied, user, self.contact.as_deref());
        let mut headers = reply.headers;
        headers.retain(|(name, _)| *name != "content-type");
        headers.extend(HEADERS.map(|(name, value)| (name, value.to_owned())));
        Reply { headers, body: self.write(&notice, request_id), ..reply }
    }

    fn write(&self, notice: &Notice, request_id: &str) -> String {
        let say = |text: &Text| escape(text.in_language(self.language));
        let (title, home) = (say(&notice.title), escape(&self.home));
        let lines: String = notice.lines.iter().map(|line| format!("<p>{}</p>\n", say(line))).collect();
        let (to, label) = if notice.asks_to_sign_in {
            (escape(&self.login_url), Text::fixed("登录", "Sign in"))
        } else {
            (if home.is_empty() { "./".to_owned() } else { home.clone() }, Text::fixed("返回首页", "To the first page"))
        };
        let tag = self.language.tag();
        let (label, request, id) = (say(&label), say(&Text::fixed("请求", "Request")), escape(request_id));
        format!(
            r#"<!DOCTYPE html>
<html lang="{tag}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Linkgate</title>
<link rel="stylesheet" href="{home}assets/console.css">
</head>
<body>
<main class="notice">
<h1>{title}</h1>
{lines}<p><a class="button" href="{to}">{label}</a></p>
<p class="request">{request}: <code>{id}</code></p>
</main>
</body>
</html>
"#
        )
    }
}

/// Text as it stands in HTML, also within quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '<' | '>' | '"' | '\'' => {
                // Writing into a string cannot fail.
                let _written = write!(escaped, "&#{};", u32::from(character));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use linkgate_contract::{ErrorCode, Problem};

    use super::*;

    fn viewer(language: Language) -> Viewer {
        let console = Console { login_url: "https://login.example.com/?c_url={url}".into(), contact: None };
        let login_url = console.login_url("https://gw.example.com/console/bkapps/applications/?a=1&b='");
        Viewer { language, login_url, contact: Some("ops <ops@example.com>".into()), home: "../../".into() }
    }

    fn page(language: Language, error: GatewayError, user: &str) -> Reply {
        let reply = Reply::gateway(&error, "id-1", true);
        viewer(language).show(&Denied::enforced("grants", error), user, "id-1", reply)
    }

    fn header<'a>(reply: &'a Reply, wanted: &str) -> Vec<&'a str> {
        reply.headers.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn a_stranger_is_shown_where_to_sign_in_and_comes_back() {
        let reply = page(Language::English, GatewayError::NotAuthenticated { reason: "<b>".into() }, "");
        let link = "href=\"https://login.example.com/?c_url=https%3A%2F%2Fgw.example.com%2Fconsole%2Fbkapps%2Fapplications%2F\
                    %3Fa%3D1%26b%3D%27\"";
        assert!(reply.body.contains(link) && reply.body.contains("<h1>Sign in</h1>"), "{}", reply.body);
        assert!(!reply.body.contains("<b>"), "a service's words are for programs");
        let chinese = page(Language::Chinese, GatewayError::NotAuthenticated { reason: "x".into() }, "").body;
        assert!(chinese.contains("<html lang=\"zh-CN\">") && chinese.contains("<h1>请登录</h1>"), "{chinese}");
    }

    #[test]
    fn who_may_do_nothing_reads_who_that_is_and_whom_to_ask() {
        let error = || GatewayError::AppNoPermission { reason: "no permission, bk_app_code=".into() };
        let body = page(Language::English, error(), "<img src=x onerror=\"alert('1')\">").body;
        assert!(body.contains("signed in as &#60;img src=x onerror=&#34;alert(&#39;1&#39;)&#34;&#62;"), "{body}");
        assert!(body.contains("ask ops &#60;ops@example.com&#62;") && !body.contains("login.example.com"), "{body}");
        let mut nobody = viewer(Language::English);
        nobody.contact = None;
        let body = nobody
            .show(&Denied::enforced("grants", error()), "anna", "id-1", Reply::gateway(&error(), "id-1", true))
            .body;
        assert!(body.contains("signed in as anna") && !body.contains("ask"), "{body}");
    }

    #[test]
    fn a_page_has_the_headers_of_its_denial_and_runs_nothing() {
        let reply = page(Language::English, GatewayError::RateLimited { retry_after_s: 7 }, "anna");
        assert_eq!((reply.status, header(&reply, "retry-after")), (429, vec!["7"]));
        assert_eq!(header(&reply, "content-type"), ["text/html; charset=utf-8"]);
        assert_eq!(header(&reply, "x-bkapi-error-code"), ["1642902"]);
        assert_eq!(header(&reply, "x-request-id"), ["id-1"]);
        assert_eq!(header(&reply, "cache-control"), ["no-store"]);
        let [policy] = header(&reply, "content-security-policy")[..] else { panic!("{reply:?}") };
        assert!(policy.starts_with("default-src 'none'; style-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert!(reply.body.contains("Try again in 7 s."), "{}", reply.body);
        assert!(!reply.body.contains("<script") && !reply.body.contains("<style") && !reply.body.contains(" style="));
        assert!(reply.body.contains("href=\"../../assets/console.css\""), "{}", reply.body);
    }

    #[test]
    fn every_denial_is_a_page_in_both_languages() {
        let gateway = [
            GatewayError::UserNotAllowed,
            GatewayError::IpNotAllowed,
            GatewayError::ApiNotFound,
            GatewayError::UriTooLarge,
            GatewayError::ConcurrencyLimited { retry_after_s: 1 },
            GatewayError::Unavailable { retry_after_s: 1 },
            GatewayError::Internal { reason: Some("bkauth".into()) },
        ];
        for error in gateway {
            let pages =
                [Language::Chinese, Language::English].map(|language| page(language, error.clone(), "anna").body);
            assert!(pages.iter().all(|page| page.contains("<h1>") && page.contains("id-1")), "{error:?}");
            assert_ne!(pages[0], pages[1], "{error:?}");
        }
        let problem = Problem::new(ErrorCode::NotFound);
        let reply = Reply::problem(&problem, Language::English, "id-1");
        let reply = viewer(Language::English).show(&problem.into(), "anna", "id-1", reply);
        assert!(reply.status == 404 && reply.body.contains("<p>Not found</p>"), "{}", reply.body);
    }
}
