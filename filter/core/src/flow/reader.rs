//! Who reads what a request is denied with: programs, or people who look at the console, in their language.

use linkgate_contract::{Language, Method, is_of_type};

use crate::console::{Console, Viewer};
use crate::context::Context;
use crate::credentials::read_cookie;
use crate::denied::Denied;
use crate::head::{Head, HeaderField};
use crate::policy::Stage;
use crate::reply::{GatewayError, Reply};

/// BlueKing's pages keep the language that somebody chose in it.
const LANGUAGE_COOKIE: &str = "blueking_language";

/// Who reads a denial.
pub(super) struct Reader {
    pub(super) language: Language,
    /// Whether the console is asked, by a program of its pages too.
    is_on_console: bool,
    /// Who looks at a page.
    viewer: Option<Box<Viewer>>,
}

impl Reader {
    /// Of a request whose stage is known, that says whether it is the console; of any other, its path.
    pub(super) fn of_head(context: &Context, head: &Head<'_>, stage: Option<&Stage>) -> Self {
        match &context.policy.console {
            None => Self { language: choose_language(head, None), is_on_console: false, viewer: None },
            Some(_) => Self::of_head_beside_console(context, head, stage),
        }
    }

    /// Apart, so that it takes no stack where there is no console.
    #[cold]
    fn of_head_beside_console(context: &Context, head: &Head<'_>, stage: Option<&Stage>) -> Self {
        let is_on_console =
            stage.map_or_else(|| find_console(context, head).is_some(), |stage| stage.console.is_some());
        let cookie = if is_on_console { read_cookie(head, LANGUAGE_COOKIE) } else { None };
        let language = choose_language(head, cookie.as_deref());
        let viewer = if is_on_console { find_viewer(context, head, language).map(Box::new) } else { None };
        Self { language, is_on_console, viewer }
    }

    /// Whether denials are as everywhere.
    pub(super) fn is_program(&self) -> bool {
        !self.is_on_console
    }

    /// The language of who looks at a page.
    pub(super) fn page_language(&self) -> Option<String> {
        self.viewer.as_ref().map(|_| self.language.tag().to_ascii_lowercase())
    }

    /// Changes a denial for who reads it. By 401 pages know that it takes a sign-in.
    #[cold]
    pub(super) fn suit(&self, denied: &Denied, mut reply: Reply, user: &str, request_id: &str) -> Reply {
        if matches!(denied.gateway_error(), Some(GatewayError::NotAuthenticated { .. })) {
            reply.status = 401;
        }
        match &self.viewer {
            Some(viewer) => viewer.show(denied, user, request_id, reply),
            None => reply,
        }
    }
}

/// The language of a request. Only the console reads the cookie: elsewhere a program says what it wants.
fn choose_language(head: &Head<'_>, cookie: Option<&str>) -> Language {
    let named = head.text(HeaderField::Language);
    Language::choose(named.or(cookie), head.text(HeaderField::AcceptLanguage))
}

/// A request that lies below one of the console's prefixes, whether or not there is such a page.
pub(super) struct OnConsole<'a> {
    pub(super) stage: &'a Stage,
    settings: &'a Console,
    /// Its path, and what of it comes behind the prefix.
    pub(super) path: &'a str,
    pub(super) below: &'a str,
}

pub(super) fn find_console<'a>(context: &'a Context, head: &Head<'a>) -> Option<OnConsole<'a>> {
    let stage = context.policy.console.as_deref()?;
    let target = head.text(HeaderField::Path)?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let mut below = stage.prefixes.iter().filter_map(|prefix| path.strip_prefix(prefix.as_str()));
    let below = below.find(|below| below.is_empty() || below.starts_with('/'))?;
    Some(OnConsole { stage, settings: stage.console.as_ref()?, path, below })
}

pub(super) fn is_safe(head: &Head<'_>) -> bool {
    head.text(HeaderField::Method).and_then(Method::from_name).is_some_and(Method::is_safe)
}

/// Whom to show a page in the place of the envelope: those whose browser asks for one.
fn find_viewer(context: &Context, head: &Head<'_>, language: Language) -> Option<Viewer> {
    let OnConsole { settings, below, .. } = find_console(context, head)?;
    let takes_html = || head.named("accept").any(names_html);
    if !is_safe(head) || !takes_html() {
        return None;
    }
    let home = "../".repeat(below.bytes().filter(|byte| *byte == b'/').count().saturating_sub(1));
    Some(Viewer { language, login_url: settings.login_url(&url_of(head)), contact: settings.contact.clone(), home })
}

fn names_html(accept: &[u8]) -> bool {
    accept.split(|byte| *byte == b',').any(|range| is_of_type(Some(range), "text/html"))
}

/// The page that is asked for, as its browser wrote it.
fn url_of(head: &Head<'_>) -> String {
    let text = |name: &'static str| {
        head.named(name).next().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
    };
    let scheme = if text(":scheme") == "https" { "https" } else { "http" };
    let target = head.text(HeaderField::Path).unwrap_or_default();
    [scheme, "://", text(":authority"), target].concat()
}
