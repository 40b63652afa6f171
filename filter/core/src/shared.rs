//! What the workers of one proxy share: a few named values, swapped whole.
//!
//! Promises: a value changes only if nobody changed it in between, after a bounded number of tries. Keys are a fixed
//! set, because a host never frees one, and who has which slot cannot be foreseen from outside.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// The host's shared data.
pub trait SharedData {
    /// A value and its generation; `None` if it was never set.
    ///
    /// # Errors
    /// [`Unavailable`] if the host has no answer.
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable>;

    /// Sets a value of this generation; `false` if it has another one by now. One that was never set takes any, and
    /// generation 0 sets whatever is there.
    ///
    /// # Errors
    /// [`Unavailable`] if the host has no answer.
    fn set(&self, key: &str, value: &[u8], generation: u32) -> Result<bool, Unavailable>;
}

/// The host failed, or too many changed one value at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// Workers are few and a change takes microseconds: so many collisions in a row mean that something is broken.
const TRIES: usize = 64;

/// Shared data, and the salt by which names find their slots: without it a caller could choose names that share the
/// slot of another one.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a> {
    pub(crate) data: &'a dyn SharedData,
    pub(crate) salt: u64,
}

/// No value is of this generation: a value that was not there is set with it, and a host refuses that once somebody else
/// has set one. With 0 the later of two would wipe out what the other counted.
const ABSENT: u32 = u32::MAX;

/// Changes a value. `change` sees the present one (empty at first) and leaves the next; `false` from it leaves all as it
/// is, without a write.
pub(crate) fn update<T>(
    slots: Slots<'_>,
    key: &str,
    mut change: impl FnMut(&mut Vec<u8>) -> (bool, T),
) -> Result<T, Unavailable> {
    for _ in 0..TRIES {
        let (mut value, generation) = slots.data.get(key)?.unwrap_or((Vec::new(), ABSENT));
        let (write, outcome) = change(&mut value);
        if !write || slots.data.set(key, &value, generation)? {
            return Ok(outcome);
        }
    }
    Err(Unavailable)
}

impl Slots<'_> {
    /// Which of so many slots a name belongs to, and the name's tag within it.
    pub(crate) fn find_slot(self, name: &str, count: u64) -> (u64, u64) {
        let salted = Sha256::new().chain_update(self.salt.to_le_bytes()).chain_update(name).finalize();
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(salted);
        let tag = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        (tag % count.max(1), tag)
    }
}

/// Entries of `N` numbers each, as they lie in a value. A rest that is no whole entry is dropped.
pub(crate) fn read_entries<const N: usize>(value: &[u8]) -> Vec<[u64; N]> {
    let numbers = value.chunks_exact(8).map(|bytes| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default());
    let numbers: Vec<u64> = numbers.collect();
    numbers.chunks_exact(N).filter_map(|entry| entry.try_into().ok()).collect()
}

/// The reverse of [`read_entries`].
pub(crate) fn write_entries<const N: usize>(entries: &[[u64; N]], value: &mut Vec<u8>) {
    value.clear();
    value.extend(entries.iter().flatten().flat_map(|number| number.to_le_bytes()));
}

/// What one worker has for itself alone: for the command line, and wherever a gate runs without a proxy.
#[derive(Default)]
pub struct Unshared(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

impl SharedData for Unshared {
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        Ok(self.0.try_borrow().map_err(|_| Unavailable)?.get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], generation: u32) -> Result<bool, Unavailable> {
        let mut values = self.0.try_borrow_mut().map_err(|_| Unavailable)?;
        let known = values.get(key).map_or(0, |(_, generation)| *generation);
        let fits = generation == 0 || known == 0 || generation == known;
        if fits {
            values.insert(key.to_owned(), (value.to_vec(), known.wrapping_add(1)));
        }
        Ok(fits)
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use std::cell::Cell;

    use super::{SharedData, Unavailable, Unshared};

    /// Shared data of a test; it can fail, and it can make the next writes collide.
    #[derive(Default)]
    pub(crate) struct FakeShared {
        inner: Unshared,
        pub(crate) down: Cell<bool>,
        pub(crate) collisions: Cell<u32>,
    }

    impl FakeShared {
        pub(crate) fn keys(&self) -> usize {
            self.inner.0.borrow().len()
        }
    }

    impl SharedData for std::rc::Rc<FakeShared> {
        fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
            if self.down.get() { Err(Unavailable) } else { self.inner.get(key) }
        }

        fn set(&self, key: &str, value: &[u8], generation: u32) -> Result<bool, Unavailable> {
            if self.down.get() {
                return Err(Unavailable);
            }
            if let Some(left) = self.collisions.get().checked_sub(1) {
                self.collisions.set(left);
                return Ok(false);
            }
            self.inner.set(key, value, generation)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::fake::FakeShared;
    use super::*;

    #[test]
    fn a_collision_is_tried_again_and_not_for_ever() {
        let data = Rc::new(FakeShared::default());
        let add = |data: &Rc<FakeShared>| {
            update(Slots { data, salt: 0 }, "k", |value| {
                value.push(1);
                (true, value.len())
            })
        };
        assert_eq!(add(&data), Ok(1));
        data.collisions.set(3);
        assert_eq!(add(&data), Ok(2));
        data.collisions.set(u32::MAX);
        assert_eq!(add(&data), Err(Unavailable));
        data.down.set(true);
        assert_eq!(add(&data), Err(Unavailable));
    }

    #[test]
    fn who_is_first_is_not_wiped_out_by_who_is_first_as_well() {
        /// Another worker sets the value between our first look and our own setting.
        #[derive(Default)]
        struct Raced(Unshared, std::cell::Cell<bool>);

        impl SharedData for Raced {
            fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
                let seen = self.0.get(key);
                if !self.1.replace(true) {
                    self.0.set(key, &[7], 0)?;
                }
                seen
            }

            fn set(&self, key: &str, value: &[u8], generation: u32) -> Result<bool, Unavailable> {
                self.0.set(key, value, generation)
            }
        }

        let data = Raced::default();
        let add = |value: &mut Vec<u8>| {
            value.push(1);
            (true, ())
        };
        assert_eq!(update(Slots { data: &data, salt: 0 }, "k", add), Ok(()));
        assert_eq!(data.0.get("k").unwrap().unwrap().0, [7, 1]);
    }

    #[test]
    fn entries_are_written_as_they_are_read() {
        let mut value = vec![9; 3];
        write_entries(&[[1, 2], [3, u64::MAX]], &mut value);
        assert_eq!(read_entries::<2>(&value), [[1, 2], [3, u64::MAX]]);
        assert_eq!(read_entries::<2>(&value[..20]), [[1, 2]]);
        assert!(read_entries::<2>(&[]).is_empty());
    }
}
