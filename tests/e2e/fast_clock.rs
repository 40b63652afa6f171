//! The built filter with a clock that runs fast, so that what takes minutes can be seen in seconds under a real Envoy.
//!
//! Only the way to the host's clock is changed: each call of `clock_time_get` goes to a function that asks the host and
//! multiplies what has passed since a given moment. Everything else is the filter, instruction by instruction.

use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, Function, FunctionSection, InstructionSink, MemArg, MemArgTarget, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload, TypeRef};

/// Where the clock's function is among all, and what it becomes.
struct FastClock {
    import: u32,
    its_type: u32,
    replacement: u32,
    since: i64,
    factor: i64,
}

/// This filter, for which time passes so many times as fast from now on.
pub fn fast(filter: &[u8], factor: u32) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let (import, its_type, replacement) = find(filter);
    let since = i64::try_from(now).unwrap();
    let mut clock = FastClock { import, its_type, replacement, since, factor: i64::from(factor) };
    let mut module = Module::new();
    clock.parse_core_module(&mut module, Parser::new(0), filter).unwrap();
    module.finish()
}

/// The clock among the imported functions, its type, and how many functions there are in all.
fn find(filter: &[u8]) -> (u32, u32, u32) {
    let (mut functions, mut clock) = (0, None);
    for payload in Parser::new(0).parse_all(filter) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.unwrap();
                    let TypeRef::Func(its_type) = import.ty else { continue };
                    clock = clock.or_else(|| (import.name == "clock_time_get").then_some((functions, its_type)));
                    functions += 1;
                }
            }
            Payload::FunctionSection(section) => functions += section.count(),
            _ => {}
        }
    }
    let (import, its_type) = clock.expect("the filter reads the clock");
    (import, its_type, functions)
}

impl FastClock {
    /// `(clock id, precision, where to) -> errno`
    fn function(&self) -> Function {
        let nanoseconds = MemArg { offset: 0, align: 0, target: MemArgTarget::default(), ordering: None };
        let mut function = Function::new([]);
        let mut code: InstructionSink<'_> = function.instructions();
        // The place, for the store behind the sum.
        code.local_get(2);
        code.local_get(0).local_get(1).local_get(2).call(self.import).drop();
        code.local_get(2).i64_load(nanoseconds).i64_const(self.since).i64_sub();
        code.i64_const(self.factor).i64_mul().i64_const(self.since).i64_add();
        code.i64_store(nanoseconds);
        code.i32_const(0).end();
        function
    }
}

impl Reencode for FastClock {
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
        code.function(&self.function());
        Ok(())
    }
}
