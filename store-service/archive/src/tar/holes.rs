//! How members with holes are taken in: under their real names, with their real sizes.

use super::extended::PaxMap;
use super::sparse::{GnuMap, TextMap};
use super::{State, TarReader, To};
use crate::error::{ArchiveError, MemberError};
use crate::member_list::{MemberKind, is_description_name};
use crate::names::MemberPath;

impl TarReader {
    /// Not every reader fills the holes of a description, so it must have none.
    fn add_sparse(&mut self, name: &[u8]) -> Result<(), ArchiveError> {
        self.members += 1;
        self.list.add_member(name, MemberKind::File)?;
        let is_description = MemberPath::new(name, &self.limits).is_ok_and(|path| is_description_name(&path));
        let refused = ArchiveError::for_member(name, MemberError::DescriptionNotAFile);
        if is_description { Err(refused) } else { Ok(()) }
    }

    pub(super) fn begin_gnu_sparse(&mut self, name: Vec<u8>, size: u64) -> Result<(), ArchiveError> {
        self.add_sparse(&name)?;
        let (map, has_more) = GnuMap::in_header(&self.block, size).ok_or_else(|| holes_error(&name))?;
        self.go_on_with_gnu_map(name, map, has_more)
    }

    pub(super) fn read_gnu_map(&mut self) -> Result<(), ArchiveError> {
        let State::GnuMap { name, mut map, .. } = std::mem::replace(&mut self.state, State::header()) else {
            return Ok(());
        };
        self.list.count_header()?;
        let has_more = map.take_block(&self.block).ok_or_else(|| holes_error(&name))?;
        self.go_on_with_gnu_map(name, map, has_more)
    }

    fn go_on_with_gnu_map(&mut self, name: Vec<u8>, map: GnuMap, has_more: bool) -> Result<(), ArchiveError> {
        if has_more {
            self.state = State::GnuMap { filled: 0, name, map };
            return Ok(());
        }
        let holes = map.map.holes(map.stored).ok_or_else(|| holes_error(&name))?;
        self.count_holes(holes)?;
        self.begin_content(map.stored, To::Member)
    }

    pub(super) fn begin_pax_sparse(&mut self, name: Vec<u8>, map: PaxMap, size: u64) -> Result<(), ArchiveError> {
        self.add_sparse(&name)?;
        match map {
            PaxMap::Content(real_size) => {
                let map = TextMap::new(real_size, size);
                self.begin_content(size, To::TextMap { name, map })
            }
            PaxMap::Records(map) => {
                let holes = map.and_then(|map| map.holes(size)).ok_or_else(|| holes_error(&name))?;
                self.count_holes(holes)?;
                self.begin_content(size, To::Member)
            }
        }
    }

    /// Who does not know of holes makes a file of the data alone. Its name must be one that nobody takes for the real one.
    pub(super) fn name_of_sparse(&self, name: &[u8], real_name: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let Some(real_name) = real_name else { return Some(name.to_vec()) };
        let path = MemberPath::new(name, &self.limits).ok()?;
        let (folder, _) = path.split();
        let marker = folder.strip_suffix(b"/").and_then(|folder| folder.rsplit(|b| *b == b'/').next());
        (marker?.starts_with(b"GNUSparseFile.") && !is_description_name(&path)).then_some(real_name)
    }
}

/// The map of a member's holes does not fit.
pub(super) fn holes_error(name: &[u8]) -> ArchiveError {
    ArchiveError::for_member(name, MemberError::Holes)
}
