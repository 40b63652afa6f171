//! Which modules take packages, before anybody asks the catalog.

use std::collections::HashMap;

use linkgate_contract::ModuleRef;

/// How a module gets its source, as BlueKing numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceOrigin {
    /// A repository that the owner authorized.
    AuthorizedVcs = 1,
    /// A package that BlueKing's Lesscode made.
    BkLesscode = 2,
    /// An S-Mart package.
    SMart = 3,
    /// An image.
    ImageRegistry = 4,
    /// An image, cloud native.
    CnativeImage = 6,
    /// A package for an AI agent.
    AiAgent = 7,
}

impl SourceOrigin {
    /// Every origin.
    pub const ALL: [Self; 6] =
        [Self::AuthorizedVcs, Self::BkLesscode, Self::SMart, Self::ImageRegistry, Self::CnativeImage, Self::AiAgent];

    /// BlueKing's number.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The origin with this number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.number() == number)
    }

    /// Whether a module of this origin is deployed from packages.
    #[must_use]
    pub fn takes_packages(self) -> bool {
        matches!(self, Self::BkLesscode | Self::SMart | Self::AiAgent)
    }
}

/// What happens to a module that nobody declared and no package was uploaded for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownModules {
    /// It is recorded together with its first package.
    #[default]
    Register,
    /// It is not found.
    Refuse,
}

/// The operator's word on modules. Default: none declared, unknown ones are registered.
#[derive(Clone, Debug, Default)]
pub struct ModuleRules {
    unknown: UnknownModules,
    declared: HashMap<ModuleRef, SourceOrigin>,
}

impl ModuleRules {
    /// No module declared.
    #[must_use]
    pub fn new(unknown: UnknownModules) -> Self {
        Self { unknown, declared: HashMap::new() }
    }

    /// Declares a module; `false` if it was declared already.
    pub fn declare(&mut self, target: ModuleRef, origin: SourceOrigin) -> bool {
        self.declared.insert(target, origin).is_none()
    }

    /// The declared origin of a module.
    #[must_use]
    pub fn declared(&self, target: &ModuleRef) -> Option<SourceOrigin> {
        self.declared.get(target).copied()
    }

    /// The rule for all others.
    #[must_use]
    pub fn unknown(&self) -> UnknownModules {
        self.unknown
    }
}
