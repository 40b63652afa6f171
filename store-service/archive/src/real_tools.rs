//! Archives as the tools of others make them, taken or refused as docs/PACKAGES.md says, and what is taken is what those
//! tools unpack: every name, size and byte.
//!
//! A tool that is not on this machine is named and left out.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::listing::{self, Members, Seen};
use super::{ArchiveError, Inspection, Inspector, Limits, Package, Unmetered, inspect_zip};

/// A folder as people pack it: a description, a program, a link, an empty folder, a name that is not ASCII, a file with
/// a hole.
const TREE: &str = "mkdir -p app/src app/empty; printf 'spec_version: 2\\napp_version: 1.10\\n' > app/app_desc.yaml; \
    seq 2000 > app/src/main.py; ln -s src/main.py app/run; echo x > app/源码.txt; \
    truncate -s 3M app/hole; printf tail >> app/hole; cp app/src/main.py f; ";
/// Members of it with the folders around them.
const MEMBERS: u64 = 8;
const HOLE_BYTES: u64 = (3 << 20) + 4;

fn inspect(file: &Path) -> Result<Package, ArchiveError> {
    listing::start();
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

/// What a packer made, and what was judged of it.
struct Packed {
    folder: TempDir,
    judged: Result<Package, ArchiveError>,
}

/// Runs a command in the folder where `o` is made.
fn run(folder: &TempDir, command: &str) {
    let mut bash = Command::new("bash");
    bash.args(["-ec", command]).env("LC_ALL", "C.UTF-8").current_dir(folder.path());
    let done = bash.output().unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Makes `o` in a folder of its own; nothing if a tool or module of Python is missing.
fn pack(tools: &str, command: &str) -> Option<Packed> {
    for tool in tools.split(' ') {
        let probe = format!("command -v {tool} || python3 -c 'import {tool}'");
        let found = Command::new("sh").args(["-c", &probe]).output().unwrap();
        if !found.status.success() {
            println!("left out, for `{tool}` is not here: {command}");
            return None;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    run(&folder, &format!("{TREE}{command}"));
    let judged = inspect(&folder.path().join("o"));
    Some(Packed { folder, judged })
}

/// What the inspection saw, as an unpacker leaves it on the disk: with the folders around members, and links followed
/// that are other names of a file.
fn seen_members() -> Members {
    let seen = listing::take_last();
    let mut members = Members::new();
    for (path, member) in &seen {
        let member = match member {
            Seen::HardLink(target) => &seen[target.strip_prefix(b"./").unwrap_or(target)],
            member => member,
        };
        members.insert(path.clone(), member.clone());
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            members.entry(path[..end].to_vec()).or_insert(Seen::Folder);
        }
    }
    members.remove(&b""[..]);
    members
}

/// What lies below a folder.
fn members_on_disk(folder: &Path) -> Members {
    let mut members = Members::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let member = if kind.is_dir() {
                folders.push(path.clone());
                Seen::Folder
            } else if kind.is_symlink() {
                Seen::Symlink(fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
            } else {
                let mut data = fs::read(&path).unwrap();
                let size = data.len() as u64;
                data.retain(|byte| *byte != 0);
                Seen::File { size, data }
            };
            let path: &OsStr = path.strip_prefix(folder).unwrap().as_ref();
            members.insert(path.as_bytes().to_vec(), member);
        }
    }
    members
}

/// Unpacks `o` with the tool's own command, and compares all that comes out with what was seen.
fn compare_with_unpacked(folder: &TempDir, command: &str, unpack: &str) {
    let seen = seen_members();
    run(folder, &format!("mkdir out; {unpack}"));
    let unpacked = members_on_disk(&folder.path().join("out"));
    let names = |members: &Members| members.keys().map(|k| String::from_utf8_lossy(k).into_owned()).collect::<Vec<_>>();
    assert_eq!(names(&seen), names(&unpacked), "{command}");
    for (path, member) in &unpacked {
        // The content of a large file would say nothing to a reader.
        assert!(seen[path] == *member, "{command}: {} is another", String::from_utf8_lossy(path));
    }
    assert!(!unpacked.is_empty(), "{command}");
}

fn takes(tools: &str, unpack: &str, commands: &[&str]) {
    for command in commands {
        let Some(Packed { folder, judged }) = pack(tools, command) else { continue };
        let package = judged.unwrap_or_else(|refused| panic!("{command}: {refused}"));
        assert_eq!(
            (package.relative_path.as_str(), package.entries >= MEMBERS),
            ("app/", true),
            "{command}: {package:?}"
        );
        assert_eq!(package.version.as_ref().unwrap().as_str(), "1.10", "{command}");
        assert!(package.proves_whole && package.unpacked_bytes >= HOLE_BYTES, "{command}: {package:?}");
        compare_with_unpacked(&folder, command, unpack);
    }
}

fn refuses(tools: &str, commands: &[(&str, &str)]) {
    for (command, words) in commands {
        let Some(Packed { judged, .. }) = pack(tools, command) else { continue };
        let refused = judged.expect_err(command).to_string();
        assert!(refused.contains(words), "{command}: {refused}");
    }
}

#[test]
fn what_gnu_tar_packs() {
    takes(
        "tar gzip bzip2 xz zstd",
        "tar -xf o -C out",
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
        "bsdtar -xf o -C out",
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
        "zip unzip",
        "unzip -q o -d out",
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
    takes("7z", "7z x -bd -oout o", &["7z a -bd o.zip app; mv o.zip o", "7z a -bd -mcu o.zip app; mv o.zip o"]);
    takes(
        "jar",
        "cd out; jar xf ../o",
        &["jar cf o.jar app; mv o.jar o", "jar cMf o.jar app; mv o.jar o", "jar c0f o.jar app; mv o.jar o"],
    );
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
    takes("python3", "python3 -m tarfile -e o out 2> /dev/null || python3 -m zipfile -e o out", &commands[..4]);
    takes("python3", "python3 -m zipfile -e o out", &["python3 -m zipfile -c o app"]);
}

#[test]
fn what_git_packs() {
    let repository = "git init -q; git add app; git -c user.name=n -c user.email=e@example.com commit -qm m; ";
    // Git does not know empty folders, but each folder that it has is a member.
    for (command, unpack) in [
        ("git archive --format=tar HEAD > o", "tar -xf o -C out"),
        ("git archive --format=tar --prefix=n-1/ HEAD > o", "tar -xf o -C out"),
        ("git archive -o o.tar.gz HEAD; mv o.tar.gz o", "tar -xf o -C out"),
        ("git archive --format=zip HEAD > o", "unzip -q o -d out"),
    ] {
        let Some(Packed { folder, judged }) = pack("git unzip", &format!("{repository}{command}")) else { continue };
        let relative_path = if command.contains("prefix") { "n-1/app/" } else { "app/" };
        assert_eq!(judged.unwrap().relative_path, relative_path, "{command}");
        compare_with_unpacked(&folder, command, unpack);
    }
}

/// Packages of languages, in whose own form nothing is a description.
#[test]
fn what_build_tools_pack() {
    let setup = "printf 'from setuptools import setup\nsetup(name=\"n\", version=\"1.0\", packages=[\"n\"])\n' > setup.py; \
        mkdir n; echo 'x = 1' > n/__init__.py; ";
    let manifest = "printf '[package]\nname = \"n\"\nversion = \"1.0.0\"\nedition = \"2021\"\ndescription = \"n\"\nlicense = \"MIT\"\n\
        [workspace]\n' > Cargo.toml; mkdir src; touch src/lib.rs; ";
    let autotools = "printf 'AC_INIT([n], [1.0])\nAM_INIT_AUTOMAKE([foreign])\nAC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n' > configure.ac; \
        echo 'EXTRA_DIST = app' > Makefile.am; autoreconf -i 2> log; ./configure > log; ";
    for (tools, command, unpack) in [
        (
            "npm",
            "echo '{\"name\":\"n\",\"version\":\"1.0.0\"}' > package.json; npm pack --silent > log; mv n-1.0.0.tgz o",
            "tar -xf o -C out",
        ),
        (
            "python3 setuptools",
            &format!("{setup}python3 setup.py -q sdist > log 2>&1; mv dist/n-1.0.tar.gz o"),
            "tar -xf o -C out",
        ),
        (
            "python3 setuptools wheel unzip",
            &format!("{setup}python3 setup.py -q bdist_wheel > log 2>&1; mv dist/*.whl o"),
            "unzip -q o -d out",
        ),
        (
            "cargo",
            &format!(
                "{manifest}cargo package -q --offline --no-verify --allow-dirty --target-dir target; mv target/package/n-1.0.0.crate o"
            ),
            "tar -xf o -C out",
        ),
        ("automake autoreconf make", &format!("{autotools}make -s dist; mv n-1.0.tar.gz o"), "tar -xf o -C out"),
        ("automake autoreconf make", &format!("{autotools}make -s dist-xz; mv n-1.0.tar.xz o"), "tar -xf o -C out"),
        ("pigz", "tar -cf - app | pigz -b 128 > o", "tar -xf o -C out"),
        ("pbzip2", "tar -cf - app | pbzip2 -b1 > o", "tar -xf o -C out"),
    ] {
        let Some(Packed { folder, judged }) = pack(tools, command) else { continue };
        assert!(judged.is_ok(), "{command}: {judged:?}");
        compare_with_unpacked(&folder, command, unpack);
    }
}
