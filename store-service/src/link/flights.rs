//! Uploads under way, so that a second call for the same joins the first instead of downloading it again.
//!
//! Promises: whoever asks for exactly the same while it is under way gets the same answer; an upload that ended, in
//! whatever way, is joined by nobody any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use linkgate_contract::{AllowList, LinkRequest, UploadPath};

use super::{Outcome, Upload};

/// All that makes two uploads the same; who asks is not part of it, but what that caller may reach is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    module: UploadPath,
    request: LinkRequest,
    private_hosts: AllowList,
}

/// What all who asked for it wait for.
pub(super) type Landing = Shared<BoxFuture<'static, Outcome>>;

/// Never more of them than uploads.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<Flight, Landing>>>);

/// Takes an upload off the list when it is dropped.
pub(super) struct Listed {
    flights: Flights,
    flight: Flight,
}

impl Flights {
    /// What to wait for: the upload that is under way, or the one that `begin` begins. `true` if it was begun.
    pub(super) fn join(
        &self,
        upload: &Upload,
        begin: impl FnOnce(Listed) -> BoxFuture<'static, Outcome>,
    ) -> (Landing, bool) {
        let Upload { module, request, private_hosts, .. } = upload;
        let flight = Flight { module: module.clone(), request: request.clone(), private_hosts: private_hosts.clone() };
        let mut list = self.list();
        if let Some(landing) = list.get(&flight) {
            return (landing.clone(), false);
        }
        let landing = begin(Listed { flights: self.clone(), flight: flight.clone() }).shared();
        list.insert(flight, landing.clone());
        (landing, true)
    }

    fn list(&self) -> MutexGuard<'_, HashMap<Flight, Landing>> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        // Dropped outside the lock: it may be the last that holds what it waited for.
        let _landing = self.flights.list().remove(&self.flight);
    }
}
