//! What the source of the filter's shell may not hold.
//!
//! Promises: a raw import or export, unsafe code, a host call outside of the one file that makes them, and each of the SDK's
//! functions that turn bytes of others into text or unwrap what the host says, are named with file and line. Looks at words
//! outside of comments; that is enough to catch a slip. What the built file imports in the end, `build-wasm` looks at.

use std::fs;
use std::path::Path;

use crate::arrows::rust_files;
use crate::error::{Failure, Outcome, Trying};
use crate::workspace::Workspace;

/// The shell without the gate, which is a crate of its own beneath it.
const SOURCE: &str = "filter/src";
/// The one file that calls the host.
const HOST: &str = "host.rs";
/// What lets the compiler refuse unsafe code, also in macros.
const FORBIDDEN: &str = "#![forbid(unsafe_code)]";

/// A word, and why it may not stand there.
const WORDS: [(&str, &str); 11] = [
    ("unsafe", "the shell is safe code"),
    ("extern", "the SDK imports and exports"),
    ("no_mangle", "the SDK exports"),
    ("export_name", "the SDK exports"),
    ("wasm_import_module", "the SDK imports"),
    ("get_map", "it panics on a value that is not UTF-8: take `get_map_bytes`"),
    ("get_map_value", "it panics on a value that is not UTF-8: take `get_map_value_bytes`"),
    ("set_log_level", "its panic hook logs the message, which may quote a request"),
    ("unwrap", "a trap takes down every request of a worker"),
    ("expect", "a trap takes down every request of a worker"),
    ("panic", "a trap takes down every request of a worker"),
];
/// Beginnings of the traits' own methods that call the host.
const METHODS: [&str; 8] =
    ["get_http_", "set_http_", "add_http_", "send_http_", "resume_http_", "get_buffer", "get_plugin_", "get_vm_"];

/// Holds the shell against the list.
pub fn check(workspace: &Workspace) -> Outcome<()> {
    let source = workspace.path(SOURCE);
    let mut faults = Vec::new();
    for file in rust_files(&source)? {
        let text = fs::read_to_string(&file).trying(|| format!("read {}", file.display()))?;
        let inside = file.strip_prefix(&source).unwrap_or(&file);
        faults.extend(faults_in(inside, &text).into_iter().map(|fault| format!("{SOURCE}/{fault}")));
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::new(faults.join("\n"))) }
}

fn faults_in(file: &Path, text: &str) -> Vec<String> {
    let is_host = file == Path::new(HOST);
    let mut faults = Vec::new();
    if file == Path::new("lib.rs") && !text.lines().any(|line| line == FORBIDDEN) {
        faults.push(format!("lib.rs: does not say `{FORBIDDEN}`"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split("//").next().unwrap_or_default();
        if code == FORBIDDEN {
            continue;
        }
        let mut refuse = |word: &str, why: &str| faults.push(format!("{}:{number}: `{word}`: {why}", file.display()));
        for word in words(code) {
            if let Some((_, why)) = WORDS.iter().find(|(of, _)| *of == word) {
                // The hook is how a trap is told.
                if !(word == "panic" && code.contains("std::panic::set_hook")) {
                    refuse(word, why);
                }
            }
            if word == "hostcalls" && !is_host {
                refuse(word, "only `host.rs` calls the host");
            }
        }
        for method in METHODS.iter().filter(|method| code.contains(&format!("self.{method}"))) {
            refuse(method, "the traits' own methods unwrap what the host says: take `hostcalls`");
        }
    }
    faults
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(file: &str, text: &str) -> Vec<String> {
        faults_in(Path::new(file), text)
    }

    #[test]
    fn a_planted_raw_import_is_named_with_its_place() {
        let planted =
            "use x;\n#[link(wasm_import_module = \"env\")]\nunsafe extern \"C\" {\n    fn proxy_done() -> u32;\n}\n";
        assert_eq!(
            faults("http.rs", planted),
            [
                "http.rs:2: `wasm_import_module`: the SDK imports",
                "http.rs:3: `unsafe`: the shell is safe code",
                "http.rs:3: `extern`: the SDK imports and exports",
            ]
        );
    }

    #[test]
    fn a_host_call_outside_of_the_one_file_is_refused() {
        let call = "let now = hostcalls::get_current_time();";
        assert_eq!(faults("http.rs", call), ["http.rs:1: `hostcalls`: only `host.rs` calls the host"]);
        assert_eq!(faults("host.rs", call), Vec::<String>::new());
    }

    #[test]
    fn what_turns_bytes_into_text_is_refused_everywhere() {
        for call in
            ["hostcalls::get_map(map)", "hostcalls::get_map_value(map, name)", "self.get_http_request_header(name)"]
        {
            assert_eq!(faults("host.rs", call).len(), 1, "{call}");
        }
        for call in ["hostcalls::get_map_bytes(map)", "hostcalls::get_map_value_bytes(map, name)"] {
            assert_eq!(faults("host.rs", call), Vec::<String>::new());
        }
    }

    #[test]
    fn the_crate_says_that_it_has_no_unsafe_code() {
        assert_eq!(faults("lib.rs", "mod host;\n"), ["lib.rs: does not say `#![forbid(unsafe_code)]`"]);
        assert_eq!(faults("lib.rs", "#![forbid(unsafe_code)]\nmod host;\n"), Vec::<String>::new());
    }

    #[test]
    fn comments_do_not_count() {
        assert_eq!(faults("http.rs", "// unsafe extern\n/// A panic\nlet a = 1; // unwrap\n"), Vec::<String>::new());
    }

    #[test]
    fn the_shell_keeps_to_the_list() {
        check(&Workspace::find().unwrap()).unwrap();
    }
}
