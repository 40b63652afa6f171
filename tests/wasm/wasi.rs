//! The few calls of WASI preview 1 that a Rust module makes: environment, clock, randomness, a last word, the end.

use wasmi::{Error, Linker};

use crate::abi::{Guest, read, unsigned, write};
use crate::world::World;

const WASI: &str = "wasi_snapshot_preview1";
const SUCCESS: i32 = 0;
/// WASI's number for an argument that makes no sense.
pub const EINVAL: i32 = 28;
const CLOCK_REALTIME: i32 = 0;

/// Offers what the filter imports; another import would fail the instantiation and with it every test.
pub fn offer(linker: &mut Linker<World>) {
    linker.func_wrap(WASI, "environ_sizes_get", environ_sizes_get).unwrap();
    linker.func_wrap(WASI, "environ_get", environ_get).unwrap();
    linker.func_wrap(WASI, "clock_time_get", clock_time_get).unwrap();
    linker.func_wrap(WASI, "random_get", random_get).unwrap();
    linker.func_wrap(WASI, "fd_write", fd_write).unwrap();
    linker.func_wrap(WASI, "proc_exit", proc_exit).unwrap();
}

fn number(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap().to_le_bytes()
}

fn environ_sizes_get(mut guest: Guest<'_>, count_at: i32, size_at: i32) -> i32 {
    if let Some(errno) = guest.data_mut().called("environ_sizes_get") {
        return errno;
    }
    let environ = &guest.data().environ;
    let (count, size) = (environ.len(), environ.iter().map(|variable| variable.len() + 1).sum());
    write(&mut guest, count_at, &number(count));
    write(&mut guest, size_at, &number(size));
    SUCCESS
}

fn environ_get(mut guest: Guest<'_>, pointers_at: i32, texts_at: i32) -> i32 {
    if let Some(errno) = guest.data_mut().called("environ_get") {
        return errno;
    }
    let (mut pointers, mut texts) = (Vec::new(), Vec::new());
    for variable in &guest.data().environ {
        pointers.extend(number(unsigned(texts_at) + texts.len()));
        texts.extend(variable.bytes().chain([0]));
    }
    write(&mut guest, pointers_at, &pointers);
    write(&mut guest, texts_at, &texts);
    SUCCESS
}

fn clock_time_get(mut guest: Guest<'_>, clock: i32, _precision: i64, time_at: i32) -> i32 {
    if let Some(errno) = guest.data_mut().called("clock_time_get") {
        return errno;
    }
    if clock != CLOCK_REALTIME {
        return EINVAL;
    }
    let time = guest.data().now_ns();
    write(&mut guest, time_at, &time.to_le_bytes());
    SUCCESS
}

fn random_get(mut guest: Guest<'_>, at: i32, len: i32) -> i32 {
    if let Some(errno) = guest.data_mut().called("random_get") {
        return errno;
    }
    let bytes = guest.data_mut().randomness(unsigned(len));
    write(&mut guest, at, &bytes);
    SUCCESS
}

/// The standard streams go to the log, so that a failing test shows them.
fn fd_write(mut guest: Guest<'_>, fd: i32, vectors_at: i32, count: i32, written_at: i32) -> i32 {
    if let Some(errno) = guest.data_mut().called("fd_write") {
        return errno;
    }
    let vectors = read(&guest, vectors_at, count * 8);
    let mut text = Vec::new();
    for vector in vectors.chunks_exact(8) {
        let number = |at: usize| i32::from_le_bytes(vector[at..at + 4].try_into().unwrap());
        text.extend(read(&guest, number(0), number(4)));
    }
    guest.data_mut().log.push((-fd, String::from_utf8_lossy(&text).into_owned()));
    write(&mut guest, written_at, &number(text.len()));
    SUCCESS
}

/// To a host this is a trap: nothing of the VM may be used again.
fn proc_exit(_guest: Guest<'_>, code: i32) -> Result<(), Error> {
    Err(Error::i32_exit(code))
}
