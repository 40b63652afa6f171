//! Small filters in the place of the gate, to see what Envoy and the shipped `envoy.yaml` make of what a filter does.

use linkgate_tests::gateway::Gateway;

/// The part that every filter has. Memory is given out upwards from the third page and never taken back.
const FRAME: &str = r#"
  (memory (export "memory") 3)
  (global $free (mut i32) (i32.const 131072))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32) (local $start i32)
    (local.set $start (global.get $free))
    (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1)))))
    (local.get $start))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
  (func (export "proxy_on_context_create") (param i32 i32))"#;

/// A filter in text form.
#[derive(Default)]
pub struct Probe {
    imports: String,
    data: String,
    used: usize,
    code: String,
}

impl Probe {
    /// Imports a call of proxy-wasm, `$name`, with these parameters.
    pub fn import(self, name: &str, parameters: &str) -> Self {
        self.import_from("env", &format!("proxy_{name}"), name, parameters)
    }

    /// Imports a call of WASI, `$name`, with these parameters.
    pub fn import_wasi(self, name: &str, parameters: &str) -> Self {
        self.import_from("wasi_snapshot_preview1", name, name, parameters)
    }

    fn import_from(mut self, module: &str, call: &str, name: &str, parameters: &str) -> Self {
        self.imports += &format!("(import \"{module}\" \"{call}\" (func ${name} (param {parameters}) (result i32)))\n");
        self
    }

    /// Puts bytes into memory; gives them as the two numbers that calls take.
    pub fn bytes(&mut self, bytes: &[u8]) -> String {
        let (at, text) = (4_096 + self.used, bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>());
        self.data += &format!("(data (i32.const {at}) \"{text}\")\n");
        self.used += bytes.len();
        format!("(i32.const {at}) (i32.const {})", bytes.len())
    }

    /// Exports a callback.
    pub fn on(mut self, event: &str, parameters: &str, body: &str) -> Self {
        self.code += &format!("(func (export \"proxy_on_{event}\") {parameters} {body})\n");
        self
    }

    /// Takes the gate's place.
    pub async fn load(self, gateway: &Gateway) {
        let text = format!("(module {}{FRAME}\n{}{})", self.imports, self.data, self.code);
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("probe.wasm");
        std::fs::write(&module, wat::parse_str(text).unwrap()).unwrap();
        let mut resource = gateway.resource();
        resource["version_info"] = "probe".into();
        let vm = &mut resource["resources"][0]["typed_config"]["config"]["vm_config"];
        vm["code"]["local"]["filename"] = module.to_str().unwrap().into();
        vm["vm_id"] = "probe".into();
        gateway.place_and_see_it_taken(&resource).await;
    }
}
