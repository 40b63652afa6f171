//! What every simulation of discrete events needs: a clock, random numbers, and stations where things wait for one of so many
//! servers, first come, first served.
//!
//! Promises: the same seed gives the same run, to the last event, on every machine: time is a whole number of nanoseconds, and
//! what happens at the same time happens in the order in which it was planned.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// A time or a duration.
pub type Nanos = u64;

const SECOND: f64 = 1e9;

/// Seconds as the clock counts.
pub fn nanos(seconds: f64) -> Nanos {
    (seconds * SECOND).round() as Nanos
}

/// As people count.
pub fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / SECOND
}

/// Random numbers (SplitMix64).
pub struct Rng(u64);

impl Rng {
    /// The same seed, the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// One of so many.
    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    /// Exponentially distributed around this mean.
    #[cfg(test)]
    pub fn exponential(&mut self, mean: f64) -> Nanos {
        nanos(-mean * self.unit().ln())
    }

    /// Uniform between nothing and this.
    pub fn up_to(&mut self, most: Nanos) -> Nanos {
        nanos(seconds(most) * self.unit())
    }
}

/// What is going to happen, and when.
pub struct Calendar<E> {
    now: Nanos,
    planned: u64,
    events: BinaryHeap<Planned<E>>,
}

struct Planned<E> {
    at: Nanos,
    number: u64,
    event: E,
}

impl<E> Ord for Planned<E> {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Planned<E> {}

impl<E> Default for Calendar<E> {
    fn default() -> Self {
        Self { now: 0, planned: 0, events: BinaryHeap::new() }
    }
}

impl<E> Calendar<E> {
    /// The time of the last event.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Plans an event after this time.
    pub fn plan(&mut self, after: Nanos, event: E) {
        self.planned += 1;
        self.events.push(Planned { at: self.now + after, number: self.planned, event });
    }

    /// Plans one for a service that has begun, if one has.
    pub fn plan_end<J>(&mut self, begun: Option<Begun<J>>, event: impl FnOnce(J) -> E) {
        if let Some(Begun { job, service }) = begun {
            self.plan(service, event(job));
        }
    }

    /// The next event, unless it is later than that.
    pub fn next_until(&mut self, end: Nanos) -> Option<E> {
        if self.events.peek()?.at > end {
            return None;
        }
        let Planned { at, event, .. } = self.events.pop()?;
        self.now = at;
        Some(event)
    }
}

/// A service that begins now.
pub struct Begun<J> {
    /// Whom it serves.
    pub job: J,
    /// How long that takes.
    pub service: Nanos,
}

/// So many servers and one queue.
pub struct Station<J> {
    servers: u32,
    busy: u32,
    queue: VecDeque<(Nanos, Begun<J>)>,
    used: Nanos,
    waited: Nanos,
    begun: u64,
}

impl<J> Station<J> {
    /// All are free.
    pub fn new(servers: u32) -> Self {
        Self { servers, busy: 0, queue: VecDeque::new(), used: 0, waited: 0, begun: 0 }
    }

    /// Somebody wants to be served for so long. Returned if that begins at once.
    pub fn arrive(&mut self, now: Nanos, job: J, service: Nanos) -> Option<Begun<J>> {
        self.queue.push_back((now, Begun { job, service }));
        self.begin_next(now)
    }

    /// Somebody has been served. Returned is who is next.
    pub fn depart(&mut self, now: Nanos) -> Option<Begun<J>> {
        self.busy -= 1;
        self.begin_next(now)
    }

    fn begin_next(&mut self, now: Nanos) -> Option<Begun<J>> {
        if self.busy == self.servers {
            return None;
        }
        let (since, begun) = self.queue.pop_front()?;
        self.busy += 1;
        self.begun += 1;
        self.used += begun.service;
        self.waited += now - since;
        Some(begun)
    }

    /// Forgets what was counted, so that a run's beginning does not count.
    pub fn reset(&mut self) {
        (self.used, self.waited, self.begun) = (0, 0, 0);
    }

    /// The part of its time in which a server works.
    pub fn utilization(&self, span: Nanos) -> f64 {
        seconds(self.used) / (seconds(span) * f64::from(self.servers))
    }

    /// How long one waits on average before it is served.
    #[cfg(test)]
    pub fn mean_wait(&self) -> f64 {
        seconds(self.waited) / self.begun.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who comes and goes at one station.
    enum Event {
        Arrival,
        Departure,
    }

    /// The mean wait at a station with so many servers of mean service 1, so many hundredths of whose time are taken.
    fn mean_wait(servers: u32, load: f64, seed: u64, service: impl Fn(&mut Rng) -> Nanos) -> f64 {
        let (mut rng, mut calendar, mut station) = (Rng::new(seed), Calendar::default(), Station::new(servers));
        let between = 1.0 / (load * f64::from(servers));
        calendar.plan(0, Event::Arrival);
        while let Some(event) = calendar.next_until(nanos(400_000.0)) {
            let begun = match event {
                Event::Arrival => {
                    calendar.plan(rng.exponential(between), Event::Arrival);
                    let service = service(&mut rng);
                    station.arrive(calendar.now(), (), service)
                }
                Event::Departure => station.depart(calendar.now()),
            };
            calendar.plan_end(begun, |()| Event::Departure);
        }
        assert!((station.utilization(nanos(400_000.0)) - load).abs() < 0.02);
        station.mean_wait()
    }

    fn close(simulated: f64, exact: f64, tolerance: f64) {
        assert!((simulated / exact - 1.0).abs() < tolerance, "{simulated} is not {exact}");
    }

    #[test]
    fn one_server_with_random_service_waits_as_the_formula_says() {
        // M/M/1: ρ / (1 - ρ).
        for (load, seed) in [(0.5, 1), (0.8, 2)] {
            close(mean_wait(1, load, seed, |rng| rng.exponential(1.0)), load / (1.0 - load), 0.04);
        }
    }

    #[test]
    fn one_server_with_constant_service_waits_half_as_long() {
        // M/D/1, Pollaczek and Khinchine: ρ / (2 (1 - ρ)).
        for (load, seed) in [(0.5, 3), (0.8, 4)] {
            close(mean_wait(1, load, seed, |_| nanos(1.0)), load / (2.0 * (1.0 - load)), 0.04);
        }
    }

    /// M/M/c, Erlang's C.
    fn erlang_wait(servers: u32, load: f64) -> f64 {
        let offered = load * f64::from(servers);
        let mut blocked = 1.0;
        for server in 1..=servers {
            blocked = offered * blocked / (f64::from(server) + offered * blocked);
        }
        let waits = blocked / (1.0 - load * (1.0 - blocked));
        waits / (f64::from(servers) * (1.0 - load))
    }

    #[test]
    fn several_servers_wait_as_the_formulas_say() {
        for (servers, load, seed) in [(2, 0.8, 5), (8, 0.9, 6)] {
            let random = erlang_wait(servers, load);
            close(mean_wait(servers, load, seed, |rng| rng.exponential(1.0)), random, 0.06);
            // M/D/c by Cosmetatos, who is within 1 % of it.
            let c = f64::from(servers);
            let more = (1.0 - load) * (c - 1.0) * ((4.0 + 5.0 * c).sqrt() - 2.0) / (16.0 * load * c);
            close(mean_wait(servers, load, seed, |_| nanos(1.0)), 0.5 * (1.0 + more) * random, 0.06);
        }
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        let run = |seed| mean_wait(2, 0.7, seed, |rng| rng.exponential(1.0)).to_bits();
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn what_happens_at_once_happens_in_the_order_of_its_planning() {
        let mut calendar = Calendar::default();
        for (after, event) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b'), (9, 'e')] {
            calendar.plan(after, event);
        }
        let until_five: Vec<_> = std::iter::from_fn(|| calendar.next_until(5)).collect();
        assert_eq!((until_five, calendar.now()), (vec!['a', 'b', 'c', 'd'], 5));
    }
}
