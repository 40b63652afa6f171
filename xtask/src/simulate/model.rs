//! Stores that share a database and a bucket, as stations: what an upload waits for, in the order in which it does.
//!
//! An upload is queued under the lock of the queue, claimed by its own store under the same lock, once there is a place for it,
//! read from its source in parts, hashed by its store, sent to the bucket, and recorded under the lock of its application. Beside
//! that every store looks for jobs, shows signs of life and says whether it is ready; whoever ends a job wakes all others if
//! some wait.

use std::collections::VecDeque;

use super::costs::{Assumed, built, measured};
use super::engine::{Calendar, Nanos, Rng, Station, nanos, seconds};

/// What a run came to, over the time that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// How many stores there were.
    pub stores: usize,
    /// Uploads that ended, a second.
    pub uploads: f64,
    /// The part of its time in which the lock of the queue is held.
    pub lock: f64,
    /// Of the database's processors.
    pub database: f64,
    /// Of the bucket's bandwidth.
    pub bucket: f64,
    /// Of all stores' processors.
    pub stores_cpu: f64,
    /// Of the places of uploads that run.
    pub places: f64,
}

#[derive(Clone, Copy)]
enum Event {
    /// A caller begins, at a store.
    Begin(usize),
    LockFreed(Locked),
    StatementDone,
    /// Unless the store has looked since: it has a number.
    TimeToLook(usize, u64),
    Beat(usize),
    Ready(usize),
    HostFreed(usize, usize),
    PartRead(usize),
    PartHashed(usize),
    PartSent(usize),
    PartStored(usize),
    Recorded(usize),
}

/// Who has the lock of the queue.
#[derive(Clone, Copy)]
enum Locked {
    ToQueue(usize),
    ToLook(usize),
}

struct Upload {
    store: usize,
    host: usize,
    application: usize,
    parts: u32,
    read: u32,
    stored: u32,
    is_reading: bool,
}

struct Store {
    cpu: Station<usize>,
    /// Those that have a place and wait to be claimed.
    ready: VecDeque<usize>,
    running: u64,
    is_looking: bool,
    is_woken: bool,
    looks: u64,
}

/// A run.
pub struct Model {
    assumed: Assumed,
    rng: Rng,
    calendar: Calendar<Event>,
    lock: Station<Locked>,
    database: Station<()>,
    /// Of the database's processors under the lock, which its own station knows nothing of.
    under_lock: f64,
    hosts: Vec<Station<usize>>,
    bucket: Station<usize>,
    applications: Vec<Station<usize>>,
    stores: Vec<Store>,
    uploads: Vec<Upload>,
    free: Vec<usize>,
    waiting: VecDeque<usize>,
    places: u64,
    running: u64,
    /// Of places, times nanoseconds, until the last change.
    taken: u128,
    changed: Nanos,
    ended: u64,
}

/// Runs so many stores for so many seconds, once as long has gone by for them to get going.
pub fn simulate(assumed: &Assumed, stores: usize, seed: u64, span: f64) -> Figures {
    let mut model = Model::new(assumed.clone(), stores, seed);
    let span = nanos(span);
    model.run_until(span);
    model.reset();
    model.run_until(2 * span);
    model.figures(span)
}

impl Model {
    fn new(assumed: Assumed, stores: usize, seed: u64) -> Self {
        let places = (assumed.uploads_per_store * stores as u64).min(assumed.most_uploads);
        let store = || Store {
            cpu: Station::new(assumed.store_cores),
            ready: VecDeque::new(),
            running: 0,
            is_looking: false,
            is_woken: false,
            looks: 0,
        };
        let mut model = Self {
            rng: Rng::new(seed),
            calendar: Calendar::default(),
            lock: Station::new(1),
            // One is whose turn it is under the lock.
            database: Station::new(assumed.database_cores.max(2) - 1),
            under_lock: 0.0,
            hosts: (0..assumed.hosts).map(|_| Station::new(1)).collect(),
            bucket: Station::new(1),
            applications: (0..assumed.applications).map(|_| Station::new(1)).collect(),
            stores: (0..stores).map(|_| store()).collect(),
            uploads: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            places,
            running: 0,
            taken: 0,
            changed: 0,
            ended: 0,
            assumed,
        };
        for store in 0..stores {
            model.plan_beginning(store);
        }
        model
    }

    /// None does anything at the same moment as the others.
    fn plan_beginning(&mut self, store: usize) {
        for (every, event) in [
            (built::LOOK_EVERY, Event::TimeToLook(store, 0)),
            (built::BEAT_EVERY, Event::Beat(store)),
            (built::READY_EVERY, Event::Ready(store)),
        ] {
            let after = self.rng.up_to(nanos(every));
            self.calendar.plan(after, event);
        }
        for _ in 0..self.assumed.callers_per_store {
            let after = self.rng.up_to(nanos(1.0));
            self.calendar.plan(after, Event::Begin(store));
        }
    }

    fn run_until(&mut self, end: Nanos) {
        while let Some(event) = self.calendar.next_until(end) {
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.calendar.now();
        match event {
            Event::Begin(store) => self.begin(store),
            Event::LockFreed(locked) => {
                let next = self.lock.depart(now);
                self.calendar.plan_end(next, Event::LockFreed);
                match locked {
                    Locked::ToQueue(upload) => self.queued(upload),
                    Locked::ToLook(store) => self.looked(store),
                }
            }
            Event::StatementDone => {
                let next = self.database.depart(now);
                self.calendar.plan_end(next, |()| Event::StatementDone);
            }
            Event::TimeToLook(store, looks) if self.stores[store].looks == looks => self.wake(store),
            Event::TimeToLook(..) => {}
            Event::Beat(store) => self.beat(store),
            Event::Ready(store) => {
                self.calendar.plan(nanos(built::READY_EVERY), Event::Ready(store));
                self.ask(measured::STATEMENT);
            }
            Event::HostFreed(host, upload) => {
                let next = self.hosts[host].depart(now);
                self.calendar.plan_end(next, |upload| Event::HostFreed(host, upload));
                let rest = self.part_of(upload) / self.assumed.source_rate;
                self.calendar.plan(nanos(rest), Event::PartRead(upload));
            }
            Event::PartRead(upload) => self.part_read(upload),
            Event::PartHashed(upload) => {
                let next = self.stores[self.uploads[upload].store].cpu.depart(now);
                self.calendar.plan_end(next, Event::PartHashed);
                let sending = nanos(self.part_of(upload) / self.assumed.bucket_rate);
                let begun = self.bucket.arrive(now, upload, sending);
                self.calendar.plan_end(begun, Event::PartSent);
            }
            Event::PartSent(upload) => {
                let next = self.bucket.depart(now);
                self.calendar.plan_end(next, Event::PartSent);
                self.calendar.plan(nanos(self.assumed.bucket_latency), Event::PartStored(upload));
            }
            Event::PartStored(upload) => self.part_stored(upload),
            Event::Recorded(upload) => self.recorded(upload),
        }
    }

    fn begin(&mut self, store: usize) {
        let parts = (self.assumed.package / built::PART).ceil().max(1.0) as u32;
        let (host, application) = (self.rng.below(self.hosts.len()), self.rng.below(self.applications.len()));
        let upload = Upload { store, host, application, parts, read: 0, stored: 0, is_reading: false };
        let number = self.free.pop().unwrap_or(self.uploads.len());
        if number == self.uploads.len() {
            self.uploads.push(upload);
        } else {
            self.uploads[number] = upload;
        }
        let held = measured::QUEUE + built::QUEUE_TRIPS * self.assumed.trip;
        self.take_lock(Locked::ToQueue(number), held, measured::QUEUE);
    }

    fn take_lock(&mut self, locked: Locked, held: f64, cpu: f64) {
        self.under_lock += cpu;
        let begun = self.lock.arrive(self.calendar.now(), locked, nanos(held));
        self.calendar.plan_end(begun, Event::LockFreed);
    }

    fn queued(&mut self, upload: usize) {
        self.waiting.push_back(upload);
        self.wake(self.uploads[upload].store);
    }

    /// A store has one that looks. Whoever wakes it meanwhile has it look once more.
    fn wake(&mut self, store: usize) {
        if self.stores[store].is_looking {
            self.stores[store].is_woken = true;
        } else {
            self.look(store);
        }
    }

    fn look(&mut self, store: usize) {
        self.stores[store].is_looking = true;
        self.take_lock(Locked::ToLook(store), measured::LOOK, measured::LOOK);
    }

    fn looked(&mut self, store: usize) {
        while self.running < self.places {
            let Some(upload) = self.waiting.pop_front() else { break };
            self.count_running(1);
            self.stores[self.uploads[upload].store].ready.push_back(upload);
        }
        let found = self.stores[store].ready.pop_front();
        if let Some(upload) = found {
            self.stores[store].running += 1;
            self.read_part(upload);
        }
        if found.is_some() || std::mem::take(&mut self.stores[store].is_woken) {
            return self.look(store);
        }
        self.stores[store].is_looking = false;
        self.stores[store].looks += 1;
        let looks = self.stores[store].looks;
        self.calendar.plan(nanos(built::LOOK_EVERY), Event::TimeToLook(store, looks));
    }

    fn count_running(&mut self, change: i64) {
        let now = self.calendar.now();
        self.taken += u128::from(self.running) * u128::from(now - self.changed);
        self.changed = now;
        self.running = self.running.saturating_add_signed(change);
    }

    fn part_of(&self, upload: usize) -> f64 {
        self.assumed.package / f64::from(self.uploads[upload].parts)
    }

    /// Unless all are read, or as many are under way as may be.
    fn read_part(&mut self, number: usize) {
        let upload = &mut self.uploads[number];
        if upload.is_reading || upload.read == upload.parts || upload.read - upload.stored == built::PARTS_AT_ONCE {
            return;
        }
        upload.is_reading = true;
        let host = upload.host;
        let reading = nanos(self.part_of(number) / self.assumed.host_rate);
        let begun = self.hosts[host].arrive(self.calendar.now(), number, reading);
        self.calendar.plan_end(begun, |upload| Event::HostFreed(host, upload));
    }

    fn part_read(&mut self, number: usize) {
        self.uploads[number].is_reading = false;
        self.uploads[number].read += 1;
        let hashing = nanos(measured::STORE_GIB * self.part_of(number) / (1024.0 * built::MIB));
        let store = self.uploads[number].store;
        let begun = self.stores[store].cpu.arrive(self.calendar.now(), number, hashing);
        self.calendar.plan_end(begun, Event::PartHashed);
        self.read_part(number);
    }

    fn part_stored(&mut self, number: usize) {
        self.uploads[number].stored += 1;
        if self.uploads[number].stored < self.uploads[number].parts {
            return self.read_part(number);
        }
        let application = self.uploads[number].application;
        let held = measured::RECORD + built::RECORD_TRIPS * self.assumed.trip + self.assumed.flush;
        self.under_lock += measured::RECORD;
        let begun = self.applications[application].arrive(self.calendar.now(), number, nanos(held));
        self.calendar.plan_end(begun, Event::Recorded);
    }

    fn recorded(&mut self, number: usize) {
        let (now, store) = (self.calendar.now(), self.uploads[number].store);
        let application = self.uploads[number].application;
        let next = self.applications[application].depart(now);
        self.calendar.plan_end(next, Event::Recorded);
        self.count_running(-1);
        self.stores[store].running -= 1;
        self.ended += 1;
        self.free.push(number);
        self.calendar.plan(nanos(self.assumed.trip), Event::Begin(store));
        self.ask(measured::STATEMENT);
        self.wake(store);
        let others = (0..self.stores.len()).filter(|other| *other != store);
        let is_any_waiting =
            !self.waiting.is_empty() || others.clone().any(|other| !self.stores[other].ready.is_empty());
        if is_any_waiting {
            others.for_each(|other| self.wake(other));
        }
    }

    fn beat(&mut self, store: usize) {
        self.calendar.plan(nanos(built::BEAT_EVERY), Event::Beat(store));
        let running = self.stores[store].running;
        if running > 0 {
            self.ask(measured::BEAT + measured::BEAT_OF_EACH * running as f64);
        }
        // That of its objects.
        self.ask(measured::STATEMENT);
    }

    fn ask(&mut self, cost: f64) {
        let begun = self.database.arrive(self.calendar.now(), (), nanos(cost));
        self.calendar.plan_end(begun, |()| Event::StatementDone);
    }

    fn reset(&mut self) {
        self.count_running(0);
        (self.taken, self.ended, self.under_lock) = (0, 0, 0.0);
        self.lock.reset();
        self.database.reset();
        self.bucket.reset();
        self.stores.iter_mut().for_each(|store| store.cpu.reset());
    }

    fn figures(&mut self, span: Nanos) -> Figures {
        self.count_running(0);
        let servers = f64::from(self.assumed.database_cores.max(2));
        let beside_lock = self.database.utilization(span) * (servers - 1.0);
        let of_all = self.stores.iter().map(|store| store.cpu.utilization(span)).sum::<f64>();
        Figures {
            stores: self.stores.len(),
            uploads: self.ended as f64 / seconds(span),
            lock: self.lock.utilization(span),
            database: (beside_lock + self.under_lock / seconds(span)) / servers,
            bucket: self.bucket.utilization(span),
            stores_cpu: of_all / self.stores.len().max(1) as f64,
            places: self.taken as f64 / (span as f64 * self.places.max(1) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: f64 = 30.0;

    fn close(simulated: f64, exact: f64, tolerance: f64) {
        assert!((simulated / exact - 1.0).abs() < tolerance, "{simulated} is not {exact}");
    }

    #[test]
    fn a_slow_bucket_is_always_busy_and_gives_as_many_uploads_as_fit() {
        let assumed = Assumed { bucket_rate: 50e6, ..Assumed::default() };
        // All begin at once, and end at once for a long time.
        let figures = simulate(&assumed, 4, 1, SECONDS * 100.0);
        close(figures.bucket, 1.0, 0.02);
        close(figures.uploads, assumed.bucket_rate / assumed.package, 0.05);
    }

    #[test]
    fn slow_sources_give_as_much_as_there_are_places() {
        let assumed = Assumed { source_rate: 4e6, bucket_rate: 1e12, ..Assumed::default() };
        let figures = simulate(&assumed, 2, 2, SECONDS * 10.0);
        close(figures.places, 1.0, 0.02);
        let each = assumed.package / assumed.source_rate;
        close(figures.uploads, 2.0 * assumed.uploads_per_store as f64 / each, 0.05);
    }

    #[test]
    fn tiny_packages_are_bound_by_the_lock_of_the_queue() {
        let assumed = Assumed { package: 1_000.0, most_uploads: 10_000, ..Assumed::default() };
        let figures = simulate(&assumed, 32, 3, SECONDS);
        close(figures.lock, 1.0, 0.02);
        // Each takes it twice at least.
        let least = measured::QUEUE + built::QUEUE_TRIPS * assumed.trip + measured::LOOK;
        assert!(figures.uploads <= 1.01 / least, "{figures:?}");
    }

    #[test]
    fn a_weak_store_is_bound_by_its_processors() {
        let assumed = Assumed { store_cores: 1, source_rate: 1e9, bucket_rate: 1e12, ..Assumed::default() };
        let figures = simulate(&assumed, 1, 4, SECONDS * 2.0);
        close(figures.stores_cpu, 1.0, 0.05);
        let of_each = measured::STORE_GIB * assumed.package / (1024.0 * built::MIB);
        close(figures.uploads, 1.0 / of_each, 0.05);
    }

    #[test]
    fn stores_that_do_nothing_look_every_other_second() {
        let assumed = Assumed { callers_per_store: 0, ..Assumed::default() };
        let figures = simulate(&assumed, 100, 5, SECONDS);
        close(figures.lock, 100.0 * measured::LOOK / (built::LOOK_EVERY + measured::LOOK), 0.05);
        assert_eq!((figures.uploads, figures.places), (0.0, 0.0));
    }

    #[test]
    fn all_stores_together_keep_to_the_places_that_there_are() {
        let assumed = Assumed { most_uploads: 20, ..Assumed::default() };
        let (few, many) = (simulate(&assumed, 2, 6, SECONDS), simulate(&assumed, 8, 6, SECONDS));
        close(many.uploads, few.uploads, 0.1);
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        let run = |seed| simulate(&Assumed::default(), 3, seed, 5.0);
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
