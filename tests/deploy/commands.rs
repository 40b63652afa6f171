//! The documents' commands: each of our programs' is one that the program knows, with flags that it has.

use std::process::{Command, Stdio};

use linkgate_tests::process::binary;

use super::{documents, read};

const PROGRAMS: [(&str, &str); 3] =
    [("linkgate ", "linkgate"), ("linkgate-store ", "linkgate-store"), ("cargo xtask ", "xtask")];

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
    let mut found = Vec::new();
    for (at, _) in words.iter().enumerate().filter(|(at, _)| *at == 0 || !words[at - 1].starts_with('-')) {
        for (prefix, program) in PROGRAMS {
            let prefix: Vec<_> = prefix.split_whitespace().collect();
            let is_first = at == 0 || ends(&words[at - 1]) || ["sudo", "$", "exec"].contains(&words[at - 1].as_str());
            let is_set =
                at > 0 && words[..at].iter().rev().take_while(|word| !ends(word)).all(|word| word.contains('='));
            let rest = &words[at..];
            if (is_first || is_set) && rest.len() > prefix.len() && rest.iter().zip(&prefix).all(|(a, b)| a == b) {
                let arguments = rest[prefix.len()..].iter().take_while(|word| !ends(word));
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
