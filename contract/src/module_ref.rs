//! Whose package it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{AppCode, ModuleName};

/// A module of an application: what packages belong to, and what a grant's `targets` and `modules` name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleRef {
    /// The application that owns the module.
    pub app: AppCode,
    /// The module that takes the package.
    pub module: ModuleName,
}

impl ModuleRef {
    /// Where a module's endpoints lie; two names stand in for the module's.
    pub const PATTERN: &'static str = "/bkapps/applications/{app_code}/modules/{module}/source_package/";

    /// Splits a path into the module that it names and what comes below the module's packages. No name admits a character
    /// that could need a second reading, so whatever would need one is `None`.
    #[must_use]
    pub fn split_path(path: &str) -> Option<(Self, &str)> {
        let rest = path.strip_prefix("/bkapps/applications/")?;
        let (app, rest) = rest.split_once('/')?;
        let (module, rest) = rest.strip_prefix("modules/")?.split_once('/')?;
        let below = rest.strip_prefix("source_package/")?;
        Some((Self { app: AppCode::new(app).ok()?, module: ModuleName::new(module).ok()? }, below))
    }

    /// The path of the module's packages, the only one that [`ModuleRef::split_path`] reads as this module.
    #[must_use]
    pub fn path(&self) -> String {
        self.path_to("")
    }

    /// The same with what comes below the module's packages.
    #[must_use]
    pub fn path_to(&self, below: &str) -> String {
        let (app, module) = (self.app.as_str(), self.module.as_str());
        ["/bkapps/applications/", app, "/modules/", module, "/source_package/", below].concat()
    }
}

/// The text is not `app_code/module`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no module, which is written app_code/module")]
pub struct InvalidModuleRef;

/// `app/module`, as messages and tokens have it.
impl fmt::Display for ModuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.module)
    }
}

/// Reads what [`ModuleRef`] is displayed as.
impl FromStr for ModuleRef {
    type Err = InvalidModuleRef;

    fn from_str(text: &str) -> Result<Self, InvalidModuleRef> {
        let (app, module) = text.split_once('/').ok_or(InvalidModuleRef)?;
        let module = ModuleName::new(module).map_err(|_| InvalidModuleRef)?;
        Ok(Self { app: AppCode::new(app).map_err(|_| InvalidModuleRef)?, module })
    }
}

impl Serialize for ModuleRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModuleRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_read_from_its_own_path() {
        let target = ModuleRef { app: AppCode::new("app_code").unwrap(), module: ModuleName::new("default").unwrap() };
        let path = format!("{}link/", target.path());
        assert_eq!(path, "/bkapps/applications/app_code/modules/default/source_package/link/");
        assert_eq!(ModuleRef::split_path(&path), Some((target.clone(), "link/")));
        assert_eq!(target.to_string(), "app_code/default");
        assert_eq!(target.path(), ModuleRef::PATTERN.replace("{app_code}", "app_code").replace("{module}", "default"));
    }

    #[test]
    fn a_module_is_read_from_what_it_is_displayed_as() {
        let target: ModuleRef = "app_code/default".parse().unwrap();
        assert_eq!(target.to_string(), "app_code/default");
        assert_eq!(serde_json::to_string(&target).unwrap(), "\"app_code/default\"");
        for bad in ["", "app", "/", "app/", "/default", "app/default/", "a b/default", "app/../x"] {
            assert_eq!(bad.parse::<ModuleRef>(), Err(InvalidModuleRef), "{bad}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_twice_names_no_module() {
        for bad in [
            "",
            "/",
            "/bkapps/applications//modules/default/source_package/",
            "/bkapps/applications/a/modules//source_package/",
            "/bkapps/applications/a%5Fb/modules/default/source_package/",
            "/bkapps/applications/./modules/default/source_package/",
            "/bkapps/applications/a;v=1/modules/default/source_package/",
            "/bkapps/applications/a/modules/default/source_package",
            "/bkapps/applications/a/modules/default//source_package/",
            "bkapps/applications/a/modules/default/source_package/",
            "/BKAPPS/applications/a/modules/default/source_package/",
        ] {
            assert_eq!(ModuleRef::split_path(bad), None, "{bad}");
        }
    }
}
