//! What stands around every page: who reads it, where it is, what leads elsewhere.

use linkgate_contract::{Action, Language, ModuleRef};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::assets::{ICON, SCRIPT, STYLES};
use crate::words::Word;

/// Who reads a page, where, and what they may do there.
pub struct Frame<'a> {
    /// In which language.
    pub language: Language,
    /// The user's name.
    pub user: &'a str,
    /// The path of the page, as the store serves it.
    pub path: &'a str,
    /// The module that it is about.
    pub module: Option<&'a ModuleRef>,
    /// What the reader may do to the module's packages.
    pub may: &'a [Action],
    /// What a request must show that changes something.
    pub csrf_token: &'a str,
}

/// What the page of a module is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Packages,
    Jobs,
    Events,
    Usage,
    Cleanup,
}

impl Tab {
    const ALL: [(Self, Word, &'static str, Action); 5] = [
        (Self::Packages, Word::Packages, "", Action::Read),
        (Self::Jobs, Word::Jobs, "link/", Action::Upload),
        (Self::Events, Word::Events, "events/", Action::Read),
        (Self::Usage, Word::Usage, "usage/", Action::Read),
        (Self::Cleanup, Word::Cleanup, "cleanup/", Action::Cleanup),
    ];
}

impl Frame<'_> {
    pub(crate) fn text(&self, word: Word) -> &'static str {
        word.text(self.language)
    }

    pub(crate) fn may(&self, action: Action) -> bool {
        self.may.contains(&action)
    }

    /// What leads from the page to the root of the console.
    fn root(&self) -> String {
        up(self.path)
    }

    /// What leads from the page to the packages of its module.
    pub(crate) fn module_root(&self) -> String {
        let below = self.module.and_then(|module| self.path.strip_prefix(&module.path()));
        below.map_or_else(|| self.root(), |below| if below.is_empty() { "./".to_owned() } else { up_from(below) })
    }

    /// A page of the module; `tab` is none for what is about no module, or about nothing that is there.
    pub(crate) fn page(&self, title: &str, tab: Option<Tab>, main: &Markup) -> String {
        let root = self.root();
        html! {
            (DOCTYPE)
            html lang=(self.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="csrf-token" content=(self.csrf_token);
                    title { (title) " · Linkgate" }
                    link rel="icon" href=(ICON.link(&root));
                    link rel="stylesheet" href=(STYLES.link(&root));
                    script type="module" src=(SCRIPT.link(&root)) {}
                }
                body data-cancel=(self.text(Word::Cancel)) data-copied=(self.text(Word::Copied)) data-copy=(self.text(Word::Copy))
                    data-failed=(self.text(Word::LoadFailed)) {
                    a.skip href="#main" { (self.text(Word::Skip)) }
                    header {
                        a.brand href=(root) { "Linkgate" }
                        (self.breadcrumb())
                        span.user { (self.user) }
                        button.plain type="button" data-language-to=(other(self.language).tag()) lang=(other(self.language).tag()) {
                            (self.text(Word::OtherLanguage))
                        }
                    }
                    @if let Some(tab) = tab { (self.tabs(tab)) }
                    main #main tabindex="-1" { (main) }
                    output #notice role="status" aria-live="polite" {}
                }
            }
        }
        .into_string()
    }

    fn breadcrumb(&self) -> Markup {
        html! {
            @if let Some(module) = self.module {
                span.where {
                    a href={ (self.module_root()) } { (module.app) " / " (module.module) }
                }
            }
        }
    }

    fn tabs(&self, current: Tab) -> Markup {
        let root = self.module_root();
        html! {
            nav.tabs aria-label=(self.text(Word::Module)) {
                @for (tab, word, path, action) in Tab::ALL {
                    @if tab == current || self.may(action) {
                        a href={ (root) (path) } aria-current=[(tab == current).then_some("page")] { (self.text(word)) }
                    }
                }
            }
        }
    }
}

/// A row of what is known, which is left out where nothing is.
pub(crate) fn fact(name: &str, value: Option<Markup>) -> Markup {
    html! {
        @if let Some(value) = value {
            dt { (name) }
            dd { (value) }
        }
    }
}

/// A text that a click copies.
pub(crate) fn copied(frame: &Frame<'_>, text: &str, shown: &str) -> Markup {
    html! {
        code title=(text) { (shown) }
        button.plain.script type="button" data-copy=(text) { (frame.text(Word::Copy)) }
    }
}

/// What is said to whoever has no script.
pub(crate) fn without_script(frame: &Frame<'_>) -> Markup {
    html! { noscript { p.note { (frame.text(Word::NeedsScript)) } } }
}

/// A table that is wider than a phone is scrolled by itself.
pub(crate) fn scrolled(label: &str, table: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (table) } }
}

/// The language that the page is not in.
fn other(language: Language) -> Language {
    match language {
        Language::Chinese => Language::English,
        Language::English => Language::Chinese,
    }
}

/// From a whole path up to what is before all of it.
fn up(path: &str) -> String {
    up_from(path.strip_prefix('/').unwrap_or(path))
}

/// From a path below a folder up to the folder.
fn up_from(below: &str) -> String {
    match below.matches('/').count() {
        0 => "./".to_owned(),
        depth => "../".repeat(depth),
    }
}

/// Nothing to show.
pub(crate) fn nothing() -> Markup {
    PreEscaped(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_up_as_far_as_the_page_lies_below() {
        let module: ModuleRef = "shop/web".parse().unwrap();
        let frame = |path: &'static str| {
            let frame = Frame {
                language: Language::English,
                user: "admin",
                path,
                module: Some(&module),
                may: &[],
                csrf_token: "",
            };
            (frame.root(), frame.module_root())
        };
        let packages = "/bkapps/applications/shop/modules/web/source_package/";
        assert_eq!(frame(packages), ("../../../../../../".to_owned(), "./".to_owned()));
        let package = "/bkapps/applications/shop/modules/web/source_package/42/members/";
        assert_eq!(frame(package), ("../../../../../../../../".to_owned(), "../../".to_owned()));
    }
}
