//! `cargo xtask build-wasm`: the filter that Envoy loads.
//!
//! Promises: the file exports and imports what the lists below say, and is within its size budget, or the task fails.

use std::fs;
use std::path::{Path, PathBuf};

use walrus::ir::{BinaryOp, Value};
use walrus::passes::gc;
use walrus::{ExportId, ExportItem, FunctionBuilder, FunctionId, Module, ModuleConfig, ValType};

use crate::error::{Failure, Outcome, Trying};
use crate::run::run;
use crate::workspace::Workspace;

/// The target of the filter.
pub const TARGET: &str = "wasm32-wasip1";
/// The name of the file.
pub const FILE: &str = "linkgate_filter.wasm";
/// Every worker of Envoy compiles and holds a copy.
const BUDGET_BYTES: u64 = 1_600_000;

/// What a proxy is to call. The SDK exports every callback that there is, and whichever a proxy finds it calls: for each part
/// of each reply, and at the end of each request once more than needed.
const EXPORTS: [&str; 14] = [
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_http_call_response",
    "proxy_on_memory_allocate",
    "proxy_on_queue_ready",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

/// The callback at a request's head, and the one by which the filter is asked whether the body is to be held back.
const AT_HEAD: &str = "proxy_on_request_headers";
const HOLDS_BODY_BACK: &str = "proxy_on_response_trailers";
/// `Action::Pause` of the SDK: nothing goes on, and the body is read and shown to the filter.
const PAUSE: i32 = 1;
/// The ABI's `StopAllIterationAndWatermark`: nothing goes on, and the sender of the body is held back once the proxy's buffer is
/// full. The SDK has no such action.
const PAUSE_ALL: i32 = 4;

/// What the filter may ask of a proxy: what its own code calls, and what the SDK's traits, which it does not call, hold on to.
const IMPORTS: [(&str, &[&str]); 2] = [
    (
        "env",
        &[
            "proxy_add_header_map_value",
            "proxy_call_foreign_function",
            "proxy_close_stream",
            "proxy_continue_stream",
            "proxy_define_metric",
            "proxy_dequeue_shared_queue",
            "proxy_done",
            "proxy_enqueue_shared_queue",
            "proxy_get_buffer_bytes",
            "proxy_get_current_time_nanoseconds",
            "proxy_get_header_map_pairs",
            "proxy_get_header_map_value",
            "proxy_get_property",
            "proxy_get_shared_data",
            "proxy_get_status",
            "proxy_grpc_call",
            "proxy_grpc_cancel",
            "proxy_grpc_close",
            "proxy_grpc_send",
            "proxy_grpc_stream",
            "proxy_http_call",
            "proxy_increment_metric",
            "proxy_log",
            "proxy_record_metric",
            "proxy_register_shared_queue",
            "proxy_remove_header_map_value",
            "proxy_replace_header_map_value",
            "proxy_resolve_shared_queue",
            "proxy_send_local_response",
            "proxy_set_buffer_bytes",
            "proxy_set_effective_context",
            "proxy_set_header_map_pairs",
            "proxy_set_property",
            "proxy_set_shared_data",
            "proxy_set_tick_period_milliseconds",
        ],
    ),
    ("wasi_snapshot_preview1", &["environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"]),
];

/// Builds the filter and returns its path.
pub fn build(workspace: &Workspace) -> Outcome<PathBuf> {
    build_with(workspace, &[], "stripped")
}

/// Builds the filter with the endpoint that only tests have. The one that is shipped is to be built after it.
pub fn build_for_tests(workspace: &Workspace) -> Outcome<PathBuf> {
    build_with(workspace, &["--features", "test-endpoint"], "test-endpoint")
}

fn build_with(workspace: &Workspace, features: &[&str], beside: &str) -> Outcome<PathBuf> {
    workspace.need_target(TARGET)?;
    run(workspace.cargo_build_for(TARGET).args(["--profile", "wasm", "-p", "linkgate-filter"]).args(features))?;
    let folder = workspace.target.join(TARGET).join("wasm");
    let built = fs::read(folder.join(FILE)).trying(|| format!("read {}", folder.join(FILE).display()))?;
    // Beside what cargo built, which it takes for its own.
    let path = folder.join(beside).join(FILE);
    let wasm = strip(&built)?;
    fs::create_dir_all(folder.join(beside)).trying(|| format!("make a folder in {}", folder.display()))?;
    fs::write(&path, wasm).trying(|| format!("write {}", path.display()))?;
    weigh(&path)?;
    Ok(path)
}

/// Takes out of a built filter every export that no proxy is to call, and all that only those need.
fn strip(built: &[u8]) -> Outcome<Vec<u8>> {
    let mut config = ModuleConfig::new();
    config.generate_producers_section(false).generate_name_section(false);
    let mut module = config.parse(built).map_err(|e| Failure::new(format!("{FILE} cannot be read: {e:#}")))?;
    hold_bodies_back(&mut module)?;
    let unused: Vec<ExportId> = module
        .exports
        .iter()
        .filter(|export| !EXPORTS.contains(&export.name.as_str()))
        .map(|export| export.id())
        .collect();
    unused.into_iter().for_each(|export| module.exports.delete(export));
    gc::run(&mut module);
    let faults = faults(&module);
    if faults.is_empty() { Ok(module.emit_wasm()) } else { Err(Failure::new(faults.join("\n"))) }
}

/// Puts a function in the place of the callback at a request's head. It asks the filter's own, and where that has paused the
/// request, whether its body is to be held back: then it says so to the proxy.
fn hold_bodies_back(module: &mut Module) -> Outcome<()> {
    let (at_head, holds_back) = (exported(module, AT_HEAD)?, exported(module, HOLDS_BODY_BACK)?);
    let parameters = [ValType::I32, ValType::I32, ValType::I32];
    let mut function = FunctionBuilder::new(&mut module.types, &parameters, &[ValType::I32]);
    let [context, headers, end] = parameters.map(|parameter| module.locals.add(parameter));
    let (action, no_trailers) = (module.locals.add(ValType::I32), Value::I32(0));
    let mut body = function.func_body();
    body.local_get(context).local_get(headers).local_get(end).call(at_head).local_tee(action);
    body.const_(Value::I32(PAUSE)).binop(BinaryOp::I32Eq).if_else(
        ValType::I32,
        |paused| {
            paused.local_get(context).const_(no_trailers).call(holds_back).const_(Value::I32(PAUSE));
            paused.binop(BinaryOp::I32Eq).if_else(
                ValType::I32,
                |all| _ = all.const_(Value::I32(PAUSE_ALL)),
                |head| _ = head.const_(Value::I32(PAUSE)),
            );
        },
        |other| _ = other.local_get(action),
    );
    let function = function.finish(vec![context, headers, end], &mut module.funcs);
    module.exports.remove(AT_HEAD).map_err(|e| Failure::new(format!("{FILE} cannot be changed: {e:#}")))?;
    module.exports.add(AT_HEAD, function);
    Ok(())
}

/// The function that is exported under this name.
fn exported(module: &Module, name: &str) -> Outcome<FunctionId> {
    let export = module.exports.iter().find(|export| export.name == name);
    match export.map(|export| export.item) {
        Some(ExportItem::Function(function)) => Ok(function),
        _ => Err(Failure::new(format!("{FILE} does not export {name}"))),
    }
}

/// Where a filter differs from the lists.
fn faults(module: &Module) -> Vec<String> {
    let is_there = |name: &&str| module.exports.iter().any(|export| export.name == **name);
    let missing = EXPORTS.iter().filter(|name| !is_there(name)).map(|name| format!("{FILE} does not export {name}"));
    let is_allowed = |from: &str, name: &str| IMPORTS.iter().any(|(of, names)| *of == from && names.contains(&name));
    let foreign = module.imports.iter().filter(|import| !is_allowed(&import.module, &import.name));
    let foreign = foreign.map(|import| {
        format!("{FILE} imports {} of {}, which xtask/src/wasm.rs does not list", import.name, import.module)
    });
    missing.chain(foreign).collect()
}

/// Prints the filter's size and holds it against the budget.
pub fn weigh(path: &Path) -> Outcome<()> {
    let bytes = fs::metadata(path).trying(|| format!("find the built filter {}", path.display()))?.len();
    if bytes > BUDGET_BYTES {
        return Err(Failure::new(format!(
            "{FILE} has {bytes} bytes, the budget is {BUDGET_BYTES}: find what made it grow, for example with twiggy"
        )));
    }
    println!("{}: {bytes} bytes of {BUDGET_BYTES}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use walrus::{FunctionBuilder, ValType};

    use super::*;

    /// A filter with these exports, each of which calls an import of this name.
    fn filter(exports: &[&str], import: &str) -> Vec<u8> {
        let mut module = Module::default();
        let memory = module.memories.add_local(false, false, 1, None, None);
        module.exports.add("memory", memory);
        let ty = module.types.add(&[], &[]);
        for export in exports.iter().filter(|name| **name != "memory") {
            let from = if *export == "proxy_on_log" { "proxy_get_metric" } else { import };
            let (host, _) = module.add_import_func("env", from, ty);
            let parameters = match *export {
                AT_HEAD => 3,
                HOLDS_BODY_BACK => 2,
                _ => 0,
            };
            let results: &[ValType] = if parameters > 0 { &[ValType::I32] } else { &[] };
            let mut builder = FunctionBuilder::new(&mut module.types, &vec![ValType::I32; parameters], results);
            builder.func_body().call(host);
            if parameters > 0 {
                builder.func_body().i32_const(0);
            }
            let locals = (0..parameters).map(|_| module.locals.add(ValType::I32)).collect();
            let function = builder.finish(locals, &mut module.funcs);
            module.exports.add(export, function);
        }
        module.emit_wasm()
    }

    /// What the filter exports before it is stripped, as far as it is of use.
    fn exports() -> Vec<&'static str> {
        EXPORTS.into_iter().filter(|name| *name != "memory").chain([HOLDS_BODY_BACK]).collect()
    }

    fn names(wasm: &[u8]) -> Vec<String> {
        let mut names: Vec<_> = Module::from_buffer(wasm).unwrap().exports.iter().map(|e| e.name.clone()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_no_proxy_is_to_call_is_taken_out_with_all_that_it_needs() {
        let more = [&exports()[..], &["proxy_on_log", "proxy_on_response_headers"]].concat();
        assert_eq!(names(&strip(&filter(&more, "proxy_log")).unwrap()), EXPORTS);
    }

    #[test]
    fn an_export_that_is_missing_is_a_fault() {
        let failure = strip(&filter(&exports()[1..], "proxy_log")).unwrap_err().to_string();
        assert_eq!(failure, format!("{FILE} does not export _initialize"));
    }

    #[test]
    fn a_planted_import_is_a_fault() {
        let failure = strip(&filter(&exports(), "proxy_get_log_level")).unwrap_err().to_string();
        assert!(
            failure.contains("imports proxy_get_log_level of env, which xtask/src/wasm.rs does not list"),
            "{failure}"
        );
    }
}
