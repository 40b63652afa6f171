//! Programs in a terminal: a pseudo-terminal of a size, and what a program drew on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A program in a terminal; killed when dropped.
pub struct Terminal {
    child: Child,
    keys: File,
    drawn: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a program whose standard streams are a terminal of so many columns.
    #[must_use]
    pub fn start(command: &mut Command, columns: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let path = ptsname(&ours, Vec::new()).unwrap();
        let theirs: OwnedFd = open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        tcsetwinsize(&theirs, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        command.stdin(Stdio::from(theirs.try_clone().unwrap())).stdout(Stdio::from(theirs.try_clone().unwrap()));
        let child = command.stderr(Stdio::from(theirs)).spawn().unwrap();
        // The command keeps its ends open until it is told of others.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&drawn);
        let mut screen = File::from(ours);
        let keys = screen.try_clone().unwrap();
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // Fails once the program has ended and nobody holds the other end.
            while let Ok(read @ 1..) = screen.read(&mut piece) {
                shared.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        });
        Self { child, keys, drawn, reader: Some(reader) }
    }

    /// Types something.
    pub fn type_in(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    /// What was drawn so far, control characters and all.
    #[must_use]
    pub fn drawn(&self) -> String {
        String::from_utf8_lossy(&self.drawn.lock().unwrap()).into_owned()
    }

    /// Waits until it has ended; how, and all that it drew.
    #[must_use]
    pub fn finish(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, self.drawn())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Fails when it has ended already, which is fine.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The lines that a terminal would show at some time: control sequences are left out, and a return begins another line.
#[must_use]
pub fn lines_of(drawn: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = drawn.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // A control sequence ends with a letter.
            let _ended = rest.find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain.split(['\r', '\n']).map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}
