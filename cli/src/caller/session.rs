//! What every command of a caller has: the client, the module, and where results go.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use linkgate_client::{Client, RetryNotice, Settings};
use linkgate_contract::{AppCode, JobId, ModuleName, ModuleRef, PackageId, TenantId};

use super::args::{Common, ShowOptions, WhichPackage};
use super::config::{Profile, default_path, read_config};
use super::credentials::find_credentials;
use super::failure::{Failure, Kind};
use super::output::Output;
use super::progress::Progress;

/// What would go on, or stay, if the command ended now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ongoing {
    /// Nothing.
    #[default]
    Nothing,
    /// The store works on it whatever becomes of us.
    Job(JobId),
    /// Files are being sent; what is cut off leaves nothing.
    Sending,
    /// A file is being received; what came stays for the next time.
    Receiving(PathBuf),
}

/// Where [`Ongoing`] is noted.
pub type Situation = Arc<Mutex<Ongoing>>;

/// A command under way.
pub struct Session {
    pub client: Client,
    pub module: ModuleRef,
    pub output: Output,
    pub progress: Progress,
    situation: Situation,
}

impl Session {
    /// Finds out where the gateway is and who calls.
    pub fn open(common: &Common, situation: &Situation) -> Result<Self, Failure> {
        let variables = |name: &str| std::env::var_os(name);
        let profile = read_profile(common, &variables)?;
        let app_code = given(common.app_code.as_ref()).or(profile.app_code.as_ref()).cloned();
        let credentials = find_credentials(&profile, app_code.clone(), common.auth, &variables)?;
        if !credentials.prove_something() {
            let step =
                "set LINKGATE_APP_SECRET or LINKGATE_ACCESS_TOKEN, or make a profile with `linkgate login --save`";
            return Err(Failure::new(Kind::NotAllowed, "no credentials: nothing says who calls").next(step));
        }
        let gateway = given(common.gateway.as_ref()).or(profile.gateway.as_ref()).ok_or_else(|| {
            Failure::usage("no gateway").next("name it with --gateway, LINKGATE_GATEWAY_URL or a profile")
        })?;
        let progress = choose_progress(&common.show);
        let mut settings =
            Settings::new(gateway, credentials)?.on_retry(move |notice| progress.note(&describe(notice)));
        if let Some(tenant) = &profile.tenant {
            let tenant = TenantId::new(tenant).map_err(|error| Failure::usage(format!("tenant `{tenant}` {error}")))?;
            settings = settings.tenant(Some(tenant));
        }
        if let Some(path) = &profile.ca_file {
            settings = settings.trust(fs::read(path).map_err(|error| Failure::file("read", path, &error))?);
        }
        Ok(Self {
            client: Client::new(settings)?,
            module: find_module(common, &profile, app_code)?,
            output: Output { json: common.show.json, quiet: common.show.quiet },
            progress,
            situation: Arc::clone(situation),
        })
    }

    /// Notes what goes on from now on.
    pub fn note(&self, ongoing: Ongoing) {
        *self.situation.lock().unwrap_or_else(PoisonError::into_inner) = ongoing;
    }

    /// The id of a package, which may be named by its version.
    pub async fn find_package(&self, which: &WhichPackage) -> Result<PackageId, Failure> {
        let version = match (&which.id, &which.version) {
            (Some(id), _) => return Ok(*id),
            (None, Some(version)) => version,
            (None, None) => return Err(Failure::usage("name a package by its id or --version")),
        };
        let found = self.client.find_version(&self.module, version).await?;
        found.map(|package| package.id).ok_or_else(|| {
            let message = format!("{} has no live package of version {version}", self.module);
            Failure::new(Kind::NotFound, message).next("`linkgate list` shows what is there")
        })
    }
}

/// How progress and notes are shown.
pub fn choose_progress(show: &ShowOptions) -> Progress {
    Progress::choose(show.progress, show.quiet, show.json)
}

/// The profile that a command is to use.
pub fn read_profile(common: &Common, variables: &dyn Fn(&str) -> Option<OsString>) -> Result<Profile, Failure> {
    let path = common.config.clone().filter(|path| !path.as_os_str().is_empty());
    let Some(path) = path.or_else(|| default_path(variables)) else { return Ok(Profile::default()) };
    read_config(&path)?.choose(given(common.profile.as_ref()).map(String::as_str), &path)
}

/// A flag or variable that says something: CI systems set unknown variables to nothing.
pub fn given(value: Option<&String>) -> Option<&String> {
    value.filter(|value| !value.is_empty())
}

fn find_module(common: &Common, profile: &Profile, app_code: Option<String>) -> Result<ModuleRef, Failure> {
    let app = given(common.app.as_ref()).or(profile.app.as_ref()).cloned().or(app_code);
    let app = app.ok_or_else(|| {
        Failure::usage("no application").next("say whose packages these are with --app, LINKGATE_APP or a profile")
    })?;
    let module = given(common.module.as_ref()).or(profile.module.as_ref()).cloned();
    let module = module.unwrap_or_else(|| "default".to_owned());
    Ok(ModuleRef {
        app: AppCode::new(&app).map_err(|error| Failure::usage(format!("application `{app}` {error}")))?,
        module: ModuleName::new(&module).map_err(|error| Failure::usage(format!("module `{module}` {error}")))?,
    })
}

fn describe(notice: &RetryNotice<'_>) -> String {
    format!("{}; trying again in {:.1} s", notice.error, notice.pause.as_secs_f64())
}
