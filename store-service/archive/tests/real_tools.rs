//! Archives as the tools of others make them, taken or refused as docs/PACKAGES.md says.
//!
//! A tool that is not on this machine is named and left out.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests, which may end them")]

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use linkgate_archive::{ArchiveError, Inspection, Inspector, Limits, Package, Unmetered, inspect_zip};

/// A folder as people pack it: a description, a program, a link, an empty folder, a name that is not ASCII, a file with
/// a hole.
const TREE: &str = "mkdir -p app/src app/empty; printf 'spec_version: 2\\napp_version: 1.10\\n' > app/app_desc.yaml; \
    seq 2000 > app/src/main.py; ln -s src/main.py app/run; echo x > app/源码.txt; \
    truncate -s 3M app/hole; printf tail >> app/hole; cp app/src/main.py f; ";
/// Members of it with the folders around them.
const MEMBERS: u64 = 8;
const HOLE_BYTES: u64 = (3 << 20) + 4;

fn inspect(file: &Path) -> Result<Package, ArchiveError> {
    let mut inspector = Inspector::new(Limits::default(), Unmetered);
    let (mut source, mut piece) = (File::open(file).unwrap(), vec![0; 100_000]);
    loop {
        match source.read(&mut piece).unwrap() {
            0 => break,
            read => inspector.push(&piece[..read])?,
        }
    }
    match inspector.finish()? {
        Inspection::Package(package) => Ok(package),
        Inspection::Zip => inspect_zip(&mut File::open(file).unwrap(), &Limits::default(), &mut Unmetered),
    }
}

/// Makes `o` in a folder of its own; nothing if a tool is missing.
fn pack(tools: &str, command: &str) -> Option<Result<Package, ArchiveError>> {
    for tool in tools.split(' ') {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
        if !found.status.success() {
            println!("left out, for `{tool}` is not here: {command}");
            return None;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{TREE}{command}");
    let packed = Command::new("bash")
        .args(["-ec", &script])
        .env("LC_ALL", "C.UTF-8")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(packed.status.success(), "{command}: {}", String::from_utf8_lossy(&packed.stderr));
    Some(inspect(&folder.path().join("o")))
}

fn takes(tools: &str, commands: &[&str]) {
    for command in commands {
        let Some(judged) = pack(tools, command) else { continue };
        let package = judged.unwrap_or_else(|refused| panic!("{command}: {refused}"));
        assert_eq!(
            (package.relative_path.as_str(), package.entries >= MEMBERS),
            ("app/", true),
            "{command}: {package:?}"
        );
        assert_eq!(package.version.as_ref().unwrap().as_str(), "1.10", "{command}");
        assert!(package.proves_whole && package.unpacked_bytes >= HOLE_BYTES, "{command}: {package:?}");
    }
}

fn refuses(tools: &str, commands: &[(&str, &str)]) {
    for (command, words) in commands {
        let Some(judged) = pack(tools, command) else { continue };
        let refused = judged.expect_err(command).to_string();
        assert!(refused.contains(words), "{command}: {refused}");
    }
}

#[test]
fn what_gnu_tar_packs() {
    takes(
        "tar gzip bzip2 xz zstd",
        &[
            "tar -cf o app",
            "tar -czf o app",
            "tar -cjf o app",
            "tar -cJf o app",
            "tar --zstd -cf o app",
            "tar --format=ustar -cf o app",
            "tar --format=oldgnu -cf o app",
            "tar --format=gnu -cf o app",
            "tar --format=posix -cf o app",
            "tar chof - app | gzip -9 > o",
            "tar chof o app",
            "tar --format=oldgnu -cSf o app",
            "tar --format=gnu -cSzf o app",
            "tar --format=posix --sparse-version=0.0 -cSf o app",
            "tar --format=posix --sparse-version=0.1 -cSf o app",
            "tar --format=posix --sparse-version=1.0 -cSf o app",
            "tar -V app -cf o app",
            "tar --format=posix -V nightly -cf o app",
            "tar --format=posix -g snapshot -cf o app",
            "mkdir -p b/app; echo y > b/app/y; tar -cf o app -C b app",
            "tar -cf - app | xz -9 > o",
            "tar -cf - app | xz -T2 --block-size=4096 > o",
            "tar -cf - app | zstd -19 > o",
            "tar -cf - app | zstd --long=26 > o",
            "tar -cf a app; head -c 5120 a | gzip > o; tail -c +5121 a | gzip >> o; head -c 512 /dev/zero >> o",
            // The end cut off, inside of what shows its own end.
            "tar -b1 -cf a app; head -c -1024 a | xz > o",
        ],
    );
    refuses(
        "tar zstd",
        &[
            ("tar -g snapshot -cf o app", "incremental backup (`tar -g`)"),
            ("tar -cf o app; tar -rf o app/src/main.py", "the name is there twice"),
            ("mkfifo app/fifo; tar -cf o app", "app/fifo: it is neither file nor folder nor link"),
            ("tar -cf - app | zstd --ultra -22 > o", "more than 75497472 bytes of memory"),
            ("tar -cf - app | zstd --long=27 > o", "more than 75497472 bytes of memory"),
            ("tar -cPf o /etc/hostname", "the path is absolute"),
            ("tar -cf o app; head -c 5000 o > p; mv p o", "it is cut off"),
        ],
    );
}

#[test]
fn what_bsdtar_packs() {
    takes(
        "bsdtar",
        &[
            "bsdtar -cf o app",
            "bsdtar -czf o app",
            "bsdtar --format=v7tar -cf o app",
            "bsdtar --format=ustar --exclude '*源*' -cf o app; bsdtar --format=pax -czf o app",
            "bsdtar --format=gnutar -cf o app",
            "bsdtar --format=zip -cf o app",
            "bsdtar --format=zip -cf - app > o",
        ],
    );
    refuses(
        "bsdtar",
        &[
            ("bsdtar --format=cpio -cf o app", "this is no package"),
            ("bsdtar --format=7zip -cf o app", "7-Zip archive"),
        ],
    );
}

#[test]
fn what_zips_are_packed_by() {
    takes(
        "zip",
        &[
            "zip -qr o.zip app; mv o.zip o",
            "zip -qry o.zip app; mv o.zip o",
            "zip -qr0 o.zip app; mv o.zip o",
            "zip -qr - app > o",
            "zip -qr -fz o.zip app; mv o.zip o",
            "zip -qr -z o.zip app < f; mv o.zip o",
            "zip -qr o.zip app; cat f | zip -q o.zip -; mv o.zip o",
        ],
    );
    takes("7z", &["7z a -bd o.zip app; mv o.zip o", "7z a -bd -mcu o.zip app; mv o.zip o"]);
    takes("jar", &["jar cf o.jar app; mv o.jar o", "jar cMf o.jar app; mv o.jar o", "jar c0f o.jar app; mv o.jar o"]);
    refuses("zip", &[("zip -qr -e -P x o.zip app; mv o.zip o", "it is encrypted")]);
    refuses(
        "7z",
        &[
            ("7z a -bd -mm=Deflate64 o.zip f; mv o.zip o", "Deflate64 (method 9)"),
            ("7z a -bd -mm=BZip2 o.zip f; mv o.zip o", "bzip2 (method 12)"),
            ("7z a -bd -mm=LZMA o.zip f; mv o.zip o", "LZMA (method 14)"),
            ("7z a -bd -mm=PPMd o.zip f; mv o.zip o", "PPMd (method 98)"),
            ("7z a -bd o.7z f; mv o.7z o", "7-Zip archive"),
        ],
    );
}

#[test]
fn what_python_and_git_pack() {
    let make = |body: &str| format!("python3 - <<'E'\nimport os, sys, tarfile, zipfile\n{body}\nE");
    let wide = "z = zipfile.ZipFile('o', 'w', zipfile.ZIP_DEFLATED)\nfor d, _, fs in os.walk('app'):\n  z.write(d)\n  for f in fs:\n    \
        p = os.path.join(d, f)\n    with open(p, 'rb') as s, z.open(p, 'w', force_zip64=True) as t: t.write(s.read())\nz.close()";
    let streamed = wide.replace("zipfile.ZipFile('o'", "zipfile.ZipFile(os.fdopen(1, 'wb')");
    let tars = ["USTAR", "GNU", "PAX"]
        .map(|form| make(&format!("tarfile.open('o', 'w:gz', format=tarfile.{form}_FORMAT).add('app')")));
    let closed = tars.map(|script| {
        script
            .replace(".add('app')", "")
            .replace("tarfile.open(", "t = tarfile.open(")
            .replace("\nE", "\nt.add('app'); t.close()\nE")
    });
    let commands = [make(wide), make(&streamed).replace("python3 - <<", "python3 - > o.z <<") + "; mv o.z o"];
    let commands: Vec<&str> = closed.iter().chain(&commands).map(String::as_str).collect();
    takes("python3", &commands[..4]);
    takes("python3", &["python3 -m zipfile -c o app"]);
    let repository = "git init -q; git add app; git -c user.name=n -c user.email=e@example.com commit -qm m; ";
    // Git does not know empty folders, but each folder that it has is a member.
    for command in [
        "git archive --format=tar HEAD > o",
        "git archive -o o.tar.gz HEAD; mv o.tar.gz o",
        "git archive --format=zip HEAD > o",
    ] {
        let Some(judged) = pack("git", &format!("{repository}{command}")) else { continue };
        assert_eq!(judged.unwrap().relative_path, "app/", "{command}");
    }
}
