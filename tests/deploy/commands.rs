//! The documents' commands: each of our programs' is one that the program knows, with flags that it has.

use std::process::{Command, Stdio};

use linkgate_tests::process::binary;

use super::{documents, read};

/// How a program is written, and what it is called.
const PROGRAMS: [(&[&str], &str); 3] =
    [(&["linkgate"], "linkgate"), (&["linkgate-store"], "linkgate-store"), (&["cargo", "xtask"], "xtask")];

/// A command as it stands in a document.
struct Written {
    program: &'static str,
    arguments: Vec<String>,
}

/// Those of a text: in blocks of a shell's commands, and between the backticks of a sentence.
fn find_commands(text: &str) -> Vec<Written> {
    let mut found = Vec::new();
    for (at, part) in text.split("```").enumerate() {
        let code: Vec<String> = if at % 2 == 1 {
            let (language, block) = part.split_once('\n').unwrap_or_default();
            let is_shell = ["bash", "sh", "console"].contains(&language.trim());
            let block = block.replace("\\\n", " ");
            block.lines().filter(|_| is_shell).map(str::to_owned).collect()
        } else {
            part.replace('\n', " ").split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        found.extend(code.iter().flat_map(|line| find_in_line(line)));
    }
    found
}

fn find_in_line(line: &str) -> Vec<Written> {
    let Some(words) = shlex::split(&line.replace(';', " ; ")) else { return Vec::new() };
    let ends = |word: &str| ["|", "||", "&&", ";", ">", ">>", "<", "&", "2>&1", ")"].contains(&word);
    // What may stand before a program: variables, and what runs it.
    let leads = |word: &String| word.contains('=') || ["sudo", "$", "exec"].contains(&word.as_str());
    let mut found = Vec::new();
    for at in 0..words.len() {
        let (before, rest) = words.split_at(at);
        if !before.iter().rev().take_while(|word| !ends(word)).all(leads) {
            continue;
        }
        for (written, program) in PROGRAMS {
            if rest.len() > written.len() && rest.iter().zip(written).all(|(word, name)| word == name) {
                let arguments = rest[written.len()..].iter().take_while(|word| !ends(word));
                found.push(Written { program, arguments: arguments.cloned().collect() });
            }
        }
    }
    found
}

/// Whether a word is there for another one, as `FILE`, `<file>` or `…`.
fn stands_for_another(word: &str) -> bool {
    word.contains(['…', '<', '>', '[', ']', '{', '}'])
        || word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Whether the program takes this, as far as it is written out.
fn is_known(written: &Written) -> Result<(), String> {
    let arguments = written.arguments.iter().take_while(|word| *word != "--").filter(|word| !stands_for_another(word));
    let mut command = Command::new(binary(written.program));
    let output = command.args(arguments).arg("--help").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() || said.contains("a value is required for") { Ok(()) } else { Err(said) }
}

#[test]
fn every_command_in_the_documents_is_one() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for path in documents() {
        for written in find_commands(&read(&path)) {
            checked += 1;
            if let Err(why) = is_known(&written) {
                wrong.push(format!("{path}: {} {}\n{why}", written.program, written.arguments.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 80, "only {checked} commands were found");
}

#[test]
fn a_planted_wrong_command_is_found() {
    let text = "Say `linkgate list --no-such-flag`:\n\n```bash\nA=b linkgate pish x | linkgate push -\n```\n";
    let known: Vec<_> = find_commands(text).iter().map(|written| is_known(written).is_ok()).collect();
    assert_eq!(known, [false, false, true]);
}
