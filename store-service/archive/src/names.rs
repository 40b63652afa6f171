//! Paths of members, and the tree that they make.
//!
//! Promises: a path that passes stays below the folder it is unpacked into, whoever unpacks it, and no two members have
//! the same. Refuses what one unpacker takes otherwise than another. Names need not be UTF-8: old tools on Windows write
//! what they like. Memory: a path is remembered by its keyed hash, not by its text.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::error::{ArchiveError, Limit, MemberError, MemberName};
use super::limits::Limits;

/// A member's path: relative, its parts joined by single slashes. Empty for the top folder itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberPath(Vec<u8>);

impl MemberPath {
    /// Checks a path and brings it into its one form.
    pub(super) fn new(raw: &[u8], limits: &Limits) -> Result<Self, MemberError> {
        check_text(raw, limits)?;
        if has_backslash(raw) {
            return Err(MemberError::Backslash);
        }
        if raw.first() == Some(&b'/') {
            return Err(MemberError::Absolute);
        }
        let mut path = Vec::with_capacity(raw.len());
        for part in parts(raw) {
            check_part(part)?;
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
        }
        let path = Self(path);
        if path.depth() > limits.max_depth {
            return Err(MemberError::TooDeep { limit: limits.max_depth });
        }
        Ok(path)
    }

    /// Folders around it.
    pub(super) fn depth(&self) -> usize {
        self.0.iter().filter(|b| **b == b'/').count()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The folder, with its slash unless it is the top, and the last part.
    pub(super) fn split(&self) -> (&[u8], &[u8]) {
        let end = self.0.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
        self.0.split_at_checked(end).unwrap_or_default()
    }
}

/// The parts that say something: `./a//b/` is `a`, `b`.
fn parts(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".")
}

fn check_text(raw: &[u8], limits: &Limits) -> Result<(), MemberError> {
    if raw.is_empty() {
        return Err(MemberError::Nameless);
    }
    if raw.len() > limits.max_path_bytes {
        return Err(MemberError::PathTooLong { limit_bytes: limits.max_path_bytes });
    }
    if raw.iter().any(u8::is_ascii_control) { Err(MemberError::ControlCharacter) } else { Ok(()) }
}

/// Whether there is a backslash, which some unpackers take as a slash.
///
/// In GBK, Big5 and Shift-JIS its byte may be the second one of a character. Names in these are no UTF-8, and no part of
/// such a name leads anywhere else where an unpacker does not know the character.
fn has_backslash(raw: &[u8]) -> bool {
    if std::str::from_utf8(raw).is_ok() {
        return raw.contains(&b'\\');
    }
    let mut bytes = raw.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => return true,
            0x81..=0xfe => {
                bytes.next_if(|second| **second >= 0x40);
            }
            _ => {}
        }
    }
    let mut pieces = raw.split(|b| matches!(b, b'/' | b'\\'));
    raw.contains(&b'\\') && pieces.any(|piece| matches!(piece, b"." | b".." | b"app_desc.yaml" | b"app_desc.yml"))
}

fn check_part(part: &[u8]) -> Result<(), MemberError> {
    if part == b".." {
        return Err(MemberError::Parent);
    }
    if part.len() > Limits::MAX_PART_BYTES {
        return Err(MemberError::PartTooLong { limit_bytes: Limits::MAX_PART_BYTES });
    }
    Ok(())
}

/// Checks where a symbolic link leads.
///
/// It may climb only at its beginning: `a/..` is not where it seems to be when `a` is a link. As no member lies below a
/// link, the climb starts in a real folder and is what it seems; what follows only descends. So by no chain of links can
/// one get out.
pub(super) fn check_symlink(path: &MemberPath, target: &[u8], limits: &Limits) -> Result<(), MemberError> {
    check_text(target, limits)?;
    if target.contains(&b'\\') {
        return Err(MemberError::Backslash);
    }
    let out = || MemberError::LinkOut { target: MemberName::new(target) };
    let climbs = parts(target).take_while(|part| *part == b"..").count();
    let climbs_later = parts(target).skip(climbs).any(|part| part == b"..");
    if target.first() == Some(&b'/') || climbs > path.depth() || climbs_later { Err(out()) } else { Ok(()) }
}

/// What stands under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A folder that only paths in it tell of.
    Implied,
    /// A folder.
    Folder,
    /// A file, or another name of one.
    File,
    /// A symbolic link.
    Symlink,
}

/// All paths of a package.
pub(super) struct Tree {
    nodes: HashMap<u64, Node>,
    /// Keyed anew for each package: nobody can make two names collide.
    keys: RandomState,
    entries: u64,
    max_entries: u64,
}

impl Tree {
    pub(super) fn new(limits: &Limits) -> Self {
        let mut tree =
            Self { nodes: HashMap::new(), keys: RandomState::new(), entries: 0, max_entries: limits.max_entries };
        tree.nodes.insert(tree.hash_path(b""), Node::Implied);
        tree
    }

    /// Counts a header or a folder.
    pub(super) fn count_entry(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > self.max_entries {
            return Err(ArchiveError::LimitExceeded(Limit::Entries { limit: self.max_entries }));
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes a member in, and the folders around it.
    pub(super) fn insert(&mut self, path: &MemberPath, node: Node) -> Result<(), ArchiveError> {
        let refuse = |error| Err(ArchiveError::for_member(path.as_bytes(), error));
        if !self.insert_folders(path)? {
            return refuse(MemberError::NotInFolder);
        }
        match (self.nodes.insert(self.hash_path(path.as_bytes()), node), node) {
            // Packers that join several folders name them once for each.
            (None, _) | (Some(Node::Implied | Node::Folder), Node::Folder) => Ok(()),
            _ => refuse(MemberError::Duplicate),
        }
    }

    /// Makes the folders around a path; `false` if one of them is something else. Climbs until it finds a folder: what is
    /// above a folder is known to be folders.
    fn insert_folders(&mut self, path: &MemberPath) -> Result<bool, ArchiveError> {
        let mut missing = path.as_bytes();
        while let Some(end) = missing.iter().rposition(|b| *b == b'/') {
            missing = missing.get(..end).unwrap_or_default();
            let key = self.hash_path(missing);
            match self.nodes.get(&key) {
                Some(Node::Implied | Node::Folder) => return Ok(true),
                Some(Node::File | Node::Symlink) => return Ok(false),
                None => {
                    self.nodes.insert(key, Node::Implied);
                    self.count_entry()?;
                }
            }
        }
        Ok(true)
    }

    pub(super) fn is_file(&self, path: &MemberPath) -> bool {
        self.nodes.get(&self.hash_path(path.as_bytes())) == Some(&Node::File)
    }

    fn hash_path(&self, path: &[u8]) -> u64 {
        self.keys.hash_one(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &[u8]) -> Result<MemberPath, MemberError> {
        MemberPath::new(raw, &Limits::default())
    }

    #[test]
    fn spellings_of_one_path_are_one_path() {
        for raw in ["a/b", "./a/b", "a//b", "a/./b/", ".//a/b/."] {
            assert_eq!(path(raw.as_bytes()).unwrap().as_bytes(), b"a/b", "{raw}");
        }
        assert_eq!(path(b"./").unwrap().as_bytes(), b"");
        assert_eq!(path(b"a/...").unwrap().as_bytes(), b"a/...");
        // GBK, as old tools write it.
        assert!(path(b"\xb0\xe6\xb1\xbe.txt").is_ok());
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let cases: [(&[u8], MemberError); 11] = [
            (b"", MemberError::Nameless),
            (b"/etc/passwd", MemberError::Absolute),
            (b"//a", MemberError::Absolute),
            (b"..", MemberError::Parent),
            (b"a/../b", MemberError::Parent),
            (b"./../b", MemberError::Parent),
            (b"a\\b", MemberError::Backslash),
            (b"..\\b", MemberError::Backslash),
            (b"a\0b", MemberError::ControlCharacter),
            (b"a\nb", MemberError::ControlCharacter),
            (b"a\x7f", MemberError::ControlCharacter),
        ];
        for (raw, error) in cases {
            assert_eq!(path(raw), Err(error), "{raw:?}");
        }
    }

    #[test]
    fn a_byte_of_a_character_is_no_backslash() {
        // In Shift-JIS, in GBK, and in Big5, with more around it.
        for raw in
            [&b"\x83\x5c\x81\x5b\x83\x58.txt"[..], b"a/\x95\x5c/b", b"\xd4\x5c.py", b"\xa5\x5c\xaf\xe0", b"1\xb1\x5c"]
        {
            assert_eq!(path(raw).unwrap().as_bytes(), raw);
        }
        // Behind a whole character, in UTF-8, and where it would lead out or to a description if it were one.
        for raw in [
            &b"\xb1\xb2\\x"[..],
            b"\xb1x\\y",
            "\u{7248}\\x".as_bytes(),
            b"\xb1\\..",
            b"\xb1\\../../x",
            b"\xb1\\./x",
            b"a/\xb1\\app_desc.yaml",
        ] {
            assert_eq!(path(raw), Err(MemberError::Backslash), "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn lengths_and_depths_are_taken_up_to_their_limits() {
        let limits = Limits { max_path_bytes: 600, max_depth: 3, ..Limits::default() };
        let long = |part: usize| MemberPath::new("a".repeat(part).as_bytes(), &limits);
        assert!(long(254).is_ok() && long(255).is_ok());
        assert_eq!(long(256), Err(MemberError::PartTooLong { limit_bytes: 255 }));
        let total = |len: usize| MemberPath::new(&"abc/".repeat(150).as_bytes()[..len], &limits);
        assert_eq!(total(600), Err(MemberError::TooDeep { limit: 3 }));
        let slashes = |len: usize| MemberPath::new(format!("a{}", "/".repeat(len - 1)).as_bytes(), &limits);
        assert!(slashes(599).is_ok() && slashes(600).is_ok());
        assert_eq!(slashes(601), Err(MemberError::PathTooLong { limit_bytes: 600 }));
        assert!(MemberPath::new(b"1/2/f", &limits).is_ok() && MemberPath::new(b"1/2/3/f", &limits).is_ok());
        assert_eq!(MemberPath::new(b"1/2/3/4/f", &limits), Err(MemberError::TooDeep { limit: 3 }));
    }

    #[test]
    fn symlinks_stay_inside_whatever_they_pass() {
        let check = |at: &str, target: &str| {
            check_symlink(&path(at.as_bytes()).unwrap(), target.as_bytes(), &Limits::default())
        };
        for (at, target) in [("l", "a"), ("a/l", "../b"), ("a/b/l", "../../c/d"), ("l", "./x/./y"), ("a/l", "..")] {
            assert_eq!(check(at, target), Ok(()), "{at} -> {target}");
        }
        for (at, target) in [
            ("l", "/etc"),
            ("l", ".."),
            ("l", "../x"),
            ("a/l", "../../x"),
            // Inside by the letters, outside if `l1` leads to the top.
            ("l2", "a/b/l1/../x"),
            ("a/l", "./../../x"),
        ] {
            let target_name = MemberName::new(target.as_bytes());
            assert_eq!(check(at, target), Err(MemberError::LinkOut { target: target_name }), "{at} -> {target}");
        }
        assert_eq!(check("l", ""), Err(MemberError::Nameless));
        assert_eq!(check("l", "a\\b"), Err(MemberError::Backslash));
    }

    #[test]
    fn a_tree_takes_every_path_once_and_nothing_below_a_file() {
        let mut tree = Tree::new(&Limits::default());
        let mut insert = |raw: &str, node| tree.insert(&path(raw.as_bytes()).unwrap(), node);
        let refused = |raw: &str, error| Err(ArchiveError::for_member(raw.as_bytes(), error));
        assert_eq!(insert("./", Node::Folder), Ok(()));
        assert_eq!(insert("a/b/c", Node::File), Ok(()));
        assert_eq!(insert("a/b", Node::Folder), Ok(()));
        assert_eq!(insert("a/b/", Node::Folder), Ok(()));
        assert_eq!(insert("./", Node::Folder), Ok(()));
        assert_eq!(insert("./a/b/c", Node::File), refused("a/b/c", MemberError::Duplicate));
        assert_eq!(insert("a", Node::Symlink), refused("a", MemberError::Duplicate));
        assert_eq!(insert("l", Node::Symlink), Ok(()));
        assert_eq!(insert("l/x", Node::File), refused("l/x", MemberError::NotInFolder));
        assert_eq!(insert("l/x/y", Node::File), refused("l/x/y", MemberError::NotInFolder));
        assert_eq!(insert("a/b/c/d/e", Node::File), refused("a/b/c/d/e", MemberError::NotInFolder));
        assert_eq!(insert("q/", Node::Folder), Ok(()));
        assert_eq!(insert("q", Node::File), refused("q", MemberError::Duplicate));
        assert_eq!(insert("f", Node::File), Ok(()));
        assert_eq!(insert("f/", Node::Folder), refused("f", MemberError::Duplicate));
    }

    #[test]
    fn names_are_shown_escaped_and_cut() {
        assert_eq!(MemberName::new(b"a\n\x1b[2J\xff").as_str(), "a\\n\\u{1b}[2J\u{fffd}");
        let long = MemberName::new(&[b'x'; 5000]);
        assert_eq!(long.as_str().chars().count(), MemberName::MAX_CHARS + 1);
    }
}
