//! One VM with the filter in it, and the callbacks in the order of a host.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::OnceLock;

use wasmi::{Config, Engine, Linker, Memory, Module, Store, WasmParams, WasmResults};

use crate::request::Request;
use crate::world::World;
use crate::{abi, fixture, wasi};

/// What the filter answers to a callback about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Continue,
    Pause,
    /// The body is not even read meanwhile.
    PauseAll,
}

/// The root context of [`Vm::configured`].
pub const ROOT: u32 = 1;

/// A VM. What cannot work fails the test that asked for it.
pub struct Vm {
    store: Store<World>,
    instance: wasmi::Instance,
    last_context: u32,
    has_ended: bool,
}

/// The filter trapped: nothing of its VM may be used again.
struct Trapped;

fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let path = std::env::var_os("LINKGATE_WASM").expect("LINKGATE_WASM is not set: run `cargo xtask test`");
        let wasm =
            std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}: run `cargo xtask test`", path.to_string_lossy()));
        // What came after WebAssembly 2.0 is not on every host.
        let mut plain = Config::default();
        plain.consume_fuel(true);
        plain.wasm_tail_call(false).wasm_extended_const(false).wasm_multi_memory(false).wasm_memory64(false);
        plain.wasm_custom_page_sizes(false).wasm_wide_arithmetic(false);
        Module::new(&Engine::new(&plain), wasm).expect("the filter is valid wasm")
    })
}

/// Names of all that the filter exports.
pub fn exports() -> Vec<&'static str> {
    module().exports().map(|export| export.name()).collect()
}

/// Names of all that the filter imports from one module.
pub fn imports(from: &str) -> Vec<&'static str> {
    module().imports().filter(|import| import.module() == from).map(|import| import.name()).collect()
}

impl Vm {
    /// Loaded and initialised, with this environment; no context yet.
    pub fn new(environ: Vec<String>) -> Self {
        Self::of(World::new(environ, fixture::NOW_S))
    }

    /// Another VM of the same plugin, as another worker has, with no context yet. They share what the ABI shares.
    pub fn beside(&mut self) -> Self {
        let world = self.world();
        let mut twin = World::new(world.environ.clone(), world.now_s);
        twin.outside = world.outside.beside();
        Self::of(twin)
    }

    fn of(world: World) -> Self {
        let module = module();
        let mut linker = Linker::new(module.engine());
        abi::offer(&mut linker, module);
        wasi::offer(&mut linker);
        let mut store = Store::new(module.engine(), world);
        store.set_fuel(u64::MAX).unwrap();
        let instance = linker.instantiate_and_start(&mut store, module).expect("the host offers all imports");
        let mut vm = Self { store, instance, last_context: 0, has_ended: false };
        vm.call::<(), ()>("_initialize", ());
        vm
    }

    /// With a good key and a root under the good policy.
    pub fn configured() -> Self {
        let mut vm = Self::new(vec![fixture::key_variable(&fixture::key_text())]);
        assert_eq!(vm.add_root(fixture::policy()), (ROOT, true), "{}", vm.world().log_text());
        vm
    }

    /// Makes a root with this configuration, as a host does for each version of it; says its id and whether it took.
    pub fn add_root(&mut self, configuration: impl ToString) -> (u32, bool) {
        let root = self.create_context(0);
        assert_eq!(self.call::<(u32, u32), u32>("proxy_on_vm_start", (root, 0)), 1, "the VM starts");
        (root, self.configure(root, configuration))
    }

    /// Configures a root anew.
    pub fn configure(&mut self, root: u32, configuration: impl ToString) -> bool {
        self.configure_with_bytes(root, configuration.to_string().into_bytes())
    }

    /// Configures a root anew with what need not be text.
    pub fn configure_with_bytes(&mut self, root: u32, configuration: Vec<u8>) -> bool {
        let size = u32::try_from(configuration.len()).unwrap();
        self.world().configuration = configuration;
        self.enter(root);
        self.call::<(u32, u32), u32>("proxy_on_configure", (root, size)) == 1
    }

    /// A new context; of the root 0 it is a root itself.
    pub fn create_context(&mut self, root: u32) -> u32 {
        self.last_context += 1;
        let context = self.last_context;
        self.world().contexts.insert(context, root);
        self.enter(context);
        self.call::<(u32, u32), ()>("proxy_on_context_create", (context, root));
        context
    }

    /// Before each callback: the filter's calls are about its context again.
    pub fn enter(&mut self, context: u32) {
        let world = self.world();
        (world.context, world.effective) = (context, None);
    }

    /// A callback about a request whose answer is an action.
    pub fn ask<P: WasmParams>(&mut self, callback: &str, context: u32, params: P) -> Action {
        self.enter(context);
        let action = match self.call::<P, u32>(callback, params) {
            0 => Action::Continue,
            1 => Action::Pause,
            4 => Action::PauseAll,
            other => panic!("{callback} answered {other}"),
        };
        self.tell_receivers();
        action
    }

    /// The end of a context.
    pub fn delete(&mut self, context: u32) {
        self.enter(context);
        self.call::<u32, ()>("proxy_on_delete", context);
        let world = self.world();
        world.streams.remove(&context);
        world.contexts.remove(&context);
        world.outside.forget(context);
    }

    /// The host's side.
    pub fn world(&mut self) -> &mut World {
        self.store.data_mut()
    }

    /// Size of the filter's memory in bytes.
    pub fn memory_bytes(&mut self) -> usize {
        self.memory().data_size(&self.store)
    }

    fn memory(&self) -> Memory {
        self.instance.get_memory(&self.store, "memory").expect("the filter exports its memory")
    }

    /// How many instructions the filter has carried out.
    pub fn instructions(&self) -> u64 {
        u64::MAX - self.store.get_fuel().unwrap()
    }

    /// What a host does that may end the VM; `None` if it did. Elsewhere a trap fails the test.
    pub fn until_trap<R>(&mut self, steps: impl FnOnce(&mut Self) -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(|| steps(self))) {
            Ok(done) => Some(done),
            Err(cause) if cause.is::<Trapped>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }

    /// What must be after something that may have ended the VM: the log says no more than where, and the next request is
    /// served, by a new VM if need be, as `FAIL_RELOAD` has Envoy make one.
    #[track_caller]
    pub fn assert_next_is_served(&mut self) {
        self.world().fail(|_| None);
        if !self.has_ended {
            self.send(&Request::good()).forwarded();
            return;
        }
        let log = self.world().log_text();
        assert!(log.contains("[5] the gate trapped at "), "{log}");
        assert!(fixture::SECRETS.iter().all(|secret| !log.contains(secret)), "{log}");
        let mut next = self.beside();
        assert_eq!(next.add_root(fixture::policy()), (ROOT, true));
        next.send(&Request::good()).forwarded();
    }

    /// Calls an export as it is; a trap fails the test, but in [`Self::until_trap`].
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, params: P) -> R {
        assert!(!self.has_ended, "the VM has ended");
        let function = self.instance.get_typed_func::<P, R>(&self.store, export);
        let result = function.unwrap_or_else(|e| panic!("{export}: {e}")).call(&mut self.store, params);
        result.unwrap_or_else(|e| {
            eprintln!("the filter trapped in {export}: {e}\n{}", self.store.data().log_text());
            self.has_ended = true;
            panic_any(Trapped)
        })
    }
}
