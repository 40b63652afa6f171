//! What the host calls: the exported functions of ABI 0.2.1, and the contexts behind their ids.
//!
//! Promises: no callback traps, whatever numbers it brings. A context is taken out of its table while it works and put
//! back after, so that one callback can work with several, and a host that calls back in between never finds one twice.
//! What is not there fails closed: a request that is not known is held, a root that is not known takes no policy.

use std::alloc::{Layout, alloc};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr;

use crate::host::{self, Level};
use crate::http::Request;
use crate::root::Root;

thread_local! {
    static ROOTS: Contexts<Root> = const { Contexts::new() };
    static REQUESTS: Contexts<Request> = const { Contexts::new() };
}

/// What the host is to do with a request after a callback.
#[repr(u32)]
pub enum Action {
    /// Send on what was shown.
    Continue = 0,
    /// Hold it.
    Pause = 1,
}

/// Contexts of one kind by id; one that is at work leaves its place empty. (A hash map would need randomness for its
/// seed, and trap without it.)
struct Contexts<T>(RefCell<BTreeMap<u32, Option<T>>>);

impl<T> Contexts<T> {
    const fn new() -> Self {
        Self(RefCell::new(BTreeMap::new()))
    }

    /// Only this touches the table, and nothing of a context runs in it.
    fn places<R>(&self, touch: impl FnOnce(&mut BTreeMap<u32, Option<T>>) -> R) -> Option<R> {
        self.0.try_borrow_mut().ok().map(|mut places| touch(&mut places))
    }

    fn has(&self, id: u32) -> bool {
        self.places(|places| places.contains_key(&id)).unwrap_or(true)
    }

    fn add(&self, id: u32, context: T) {
        self.places(|places| places.insert(id, Some(context)));
    }

    fn remove(&self, id: u32) {
        // Dropped here, when the table is free again.
        let _removed = self.places(|places| places.remove(&id));
    }

    fn with<R>(&self, id: u32, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut context = self.places(|places| places.get_mut(&id)?.take()).flatten()?;
        let answer = work(&mut context);
        // No place is left for one that was deleted meanwhile.
        let _deleted = self.places(|places| match places.get_mut(&id) {
            Some(place) => place.replace(context),
            None => Some(context),
        });
        Some(answer)
    }
}

/// Works with a root; `None`, and no work, if there is none with this id or it is at work already.
pub fn with_root<R>(id: u32, work: impl FnOnce(&mut Root) -> R) -> Option<R> {
    ROOTS.with(|roots| roots.with(id, work))
}

/// Works with a request, also from within a callback of its root or of another request; the host's calls are about it
/// only inside [`host::on_behalf_of`]. `None`, and no work, if there is none with this id or it is at work already.
pub fn with_request<R>(id: u32, work: impl FnOnce(&mut Request) -> R) -> Option<R> {
    REQUESTS.with(|requests| requests.with(id, work))
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// By this name the host knows the version.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// The first thing that runs in a VM.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the ingest makes this function, and the host calls us once and before anything else. Without this call it
    // would wrap every export so that the constructors run each time.
    unsafe { __wasm_call_ctors() };
    // A trap would otherwise say nothing but "unreachable". Only the place: a message might quote the request.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        host::log(Level::Critical, &format!("the gate trapped at {place}"));
    }));
}

/// Memory for what the host hands over. Exactly the size, for that is how [`host`] frees it; null if there is none.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        Ok(layout) if size > 0 => {
            // SAFETY: the size is not zero.
            unsafe { alloc(layout) }
        }
        Ok(_) => ptr::dangling_mut(),
        Err(_) => ptr::null_mut(),
    }
}

/// A context without a root is a root itself. A request of a root that is not known has no gate, and will be refused.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, root_id: u32) {
    if ROOTS.with(|roots| roots.has(id)) || REQUESTS.with(|requests| requests.has(id)) {
        // The one that is there may have been refused; it must not begin anew.
        host::log(Level::Error, "the host made a context that is there already");
    } else if root_id == 0 {
        ROOTS.with(|roots| roots.add(id, Root::new(id)));
    } else {
        let plugin = with_root(root_id, |root| root.plugin()).flatten();
        REQUESTS.with(|requests| requests.add(id, Request::new(id, root_id, plugin)));
    }
}

/// Nothing is set up for a VM as a whole.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(id: u32, _configuration_size: usize) -> bool {
    with_root(id, |_| true).unwrap_or(false)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(id: u32, size: usize) -> bool {
    with_root(id, |root| root.on_configure(size)).unwrap_or(false)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(id: u32) {
    with_root(id, Root::on_tick);
}

/// Envoy names the root, whoever made the call; a host that names a request means its root.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    id: u32,
    token: u32,
    num_headers: usize,
    _body_size: usize,
    _num_trailers: usize,
) {
    let root_id = with_request(id, |request| request.root_id()).unwrap_or(id);
    with_root(root_id, |root| root.on_http_call_response(token, num_headers));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, _num_headers: usize, end_of_stream: u32) -> Action {
    held_if_unknown(with_request(id, |request| request.on_request_headers(end_of_stream != 0)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(id: u32, size: usize, end_of_stream: u32) -> Action {
    held_if_unknown(with_request(id, |request| request.on_request_body(size, end_of_stream != 0)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(id: u32, _num_trailers: usize) -> Action {
    held_if_unknown(with_request(id, Request::on_request_trailers))
}

fn held_if_unknown(action: Option<Action>) -> Action {
    action.unwrap_or_else(|| {
        host::log(Level::Error, "the host showed a request that is not there; it stays held");
        Action::Pause
    })
}

/// The end of a context. (What a host would say before, at `proxy_on_done` and `proxy_on_log`, changes nothing here, and
/// each function that is there costs every request a call.)
#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    REQUESTS.with(|requests| requests.remove(id));
    ROOTS.with(|roots| roots.remove(id));
}
