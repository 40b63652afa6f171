//! The built filter with one of the host's calls in other hands: a clock that runs fast, so that what takes minutes can be
//! seen in seconds under a real Envoy, and a call that fails as the ABI does not have it.
//!
//! Only the way to that call is changed: each use of it goes to a function of ours. Everything else is the filter,
//! instruction by instruction.

use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{BlockType, CodeSection, Function, FunctionSection, InstructionSink, MemArg, MemArgTarget, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload, TypeRef};

/// A status of the ABI.
const BAD_ARGUMENT: i32 = 2;

/// Where a call's function is among all, and what it becomes.
struct Rewired {
    import: u32,
    its_type: u32,
    replacement: u32,
    function: Function,
}

/// This filter, for which time passes so many times as fast from now on.
pub fn fast(filter: &[u8], factor: u32) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let since = i64::try_from(now).unwrap();
    rewire(filter, "proxy_get_current_time_nanoseconds", |code, ask_host| {
        let nanoseconds = MemArg { offset: 0, align: 0, target: MemArgTarget::default(), ordering: None };
        // The place, for the store behind the sum.
        code.local_get(0);
        code.local_get(0).call(ask_host).drop();
        code.local_get(0).i64_load(nanoseconds).i64_const(since).i64_sub();
        code.i64_const(i64::from(factor)).i64_mul().i64_const(since).i64_add();
        code.i64_store(nanoseconds).i32_const(0);
    })
}

/// This filter on a host that does not drop a header whose name is as long as this one.
pub fn failing_to_drop(filter: &[u8], name: &str) -> Vec<u8> {
    let length = i32::try_from(name.len()).unwrap();
    rewire(filter, "proxy_remove_header_map_value", |code, ask_host| {
        code.local_get(2).i32_const(length).i32_eq();
        code.if_(BlockType::Result(wasm_encoder::ValType::I32)).i32_const(BAD_ARGUMENT).else_();
        code.local_get(0).local_get(1).local_get(2).call(ask_host).end();
    })
}

/// A filter whose uses of an import go to a function with this code, which may call the import by its number.
fn rewire(filter: &[u8], name: &str, code: impl FnOnce(&mut InstructionSink<'_>, u32)) -> Vec<u8> {
    let (import, its_type, replacement) = find(filter, name);
    let mut function = Function::new([]);
    let mut sink = function.instructions();
    code(&mut sink, import);
    sink.end();
    let mut rewired = Rewired { import, its_type, replacement, function };
    let mut module = Module::new();
    rewired.parse_core_module(&mut module, Parser::new(0), filter).unwrap();
    module.finish()
}

/// An import among the functions, its type, and how many functions there are in all.
fn find(filter: &[u8], name: &str) -> (u32, u32, u32) {
    let (mut functions, mut found) = (0, None);
    for payload in Parser::new(0).parse_all(filter) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.unwrap();
                    let TypeRef::Func(its_type) = import.ty else { continue };
                    found = found.or_else(|| (import.name == name).then_some((functions, its_type)));
                    functions += 1;
                }
            }
            Payload::FunctionSection(section) => functions += section.count(),
            _ => {}
        }
    }
    let (import, its_type) = found.unwrap_or_else(|| panic!("the filter does not import {name}"));
    (import, its_type, functions)
}

impl Reencode for Rewired {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        Ok(if function == self.import { self.replacement } else { function })
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.its_type);
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_code_section(self, code, section)?;
        code.function(&self.function);
        Ok(())
    }
}
