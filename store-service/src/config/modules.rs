//! The file of declared modules.
//!
//! Promises: a fault is told with its line and column. Refuses unknown keys, origins given as numbers (a wrong digit
//! looks like a right one) and a module declared twice.

use linkgate_store_core::settings::{ModuleRules, SourceOrigin, UnknownModules};
use std::path::Path;

use linkgate_contract::{AppCode, ModuleName, ModuleRef};
use serde::Deserialize;
use toml::Spanned;

use super::vars::{Reader, Vars};

/// `LINKGATE_MODULES_FILE`: which modules take packages. Default: none, and no module is declared, unknown ones are
/// registered.
pub(super) const FILE: &str = "LINKGATE_MODULES_FILE";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    unknown_modules: Unknown,
    #[serde(default)]
    modules: Vec<Declared>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unknown {
    #[default]
    Register,
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    app_code: Spanned<String>,
    module: Spanned<String>,
    source_origin: Origin,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    AuthorizedVcs,
    BkLesscode,
    SMart,
    ImageRegistry,
    CnativeImage,
    AiAgent,
}

pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>) -> ModuleRules {
    let Some(path) = reader.read_text(FILE) else { return ModuleRules::default() };
    read_file(Path::new(&path)).unwrap_or_else(|fault| {
        reader.fault(FILE, format!("names {path}, which {fault}"));
        ModuleRules::default()
    })
}

fn read_file(path: &Path) -> Result<ModuleRules, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    // The parser's message opens with the line and the column and shows the place.
    let file: File = toml::from_str(&text).map_err(|e| format!("is wrong: {}", e.to_string().trim_end()))?;
    let unknown = match file.unknown_modules {
        Unknown::Register => UnknownModules::Register,
        Unknown::Refuse => UnknownModules::Refuse,
    };
    let mut rules = ModuleRules::new(unknown);
    for declared in &file.modules {
        let target = ModuleRef {
            app: AppCode::new(declared.app_code.get_ref().as_str())
                .map_err(|e| wrong_name(&text, "app_code", &declared.app_code, &e.to_string()))?,
            module: ModuleName::new(declared.module.get_ref().as_str())
                .map_err(|e| wrong_name(&text, "module", &declared.module, &e.to_string()))?,
        };
        if !rules.declare(target.clone(), declared.source_origin.into()) {
            return Err(format!("declares `{}`/`{}` twice", target.app, target.module));
        }
    }
    Ok(rules)
}

fn wrong_name(text: &str, key: &str, value: &Spanned<String>, fault: &str) -> String {
    let line = text.get(..value.span().start).unwrap_or_default().lines().count().max(1);
    format!("is wrong at line {line}: {key} `{}` {fault}", value.get_ref())
}

impl From<Origin> for SourceOrigin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::AuthorizedVcs => Self::AuthorizedVcs,
            Origin::BkLesscode => Self::BkLesscode,
            Origin::SMart => Self::SMart,
            Origin::ImageRegistry => Self::ImageRegistry,
            Origin::CnativeImage => Self::CnativeImage,
            Origin::AiAgent => Self::AiAgent,
        }
    }
}
