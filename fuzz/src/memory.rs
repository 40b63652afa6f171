//! How much memory Rust code holds, and how much it held at most.
//!
//! A program that wants to know names [`Counting`] as its allocator. Each thread counts what it takes and gives back by
//! itself, so tests beside each other do not disturb the count. What C libraries take for themselves is not seen here;
//! libFuzzer's limit of the whole process is for them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Signed: a thread may give back what another one took.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted.
pub struct Counting;

// SAFETY: everything is the system allocator's own doing; two counters beside it change nothing, and neither allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add_to_held(layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        add_to_held(-layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

fn add_to_held(bytes: isize) {
    let held = HELD.get().wrapping_add(bytes);
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

/// Does it, and tells how many bytes more than before this thread held at one moment.
pub fn most_in<T>(doing: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let done = doing();
    (done, MOST.get().wrapping_sub(before).unsigned_abs())
}
